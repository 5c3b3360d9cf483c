// swift-tools-version: 6.1
// The targets are the layers of the architecture (docs/architecture.md): a target may import only what
// stands above it in this file.
import PackageDescription

let package = Package(
    name: "martlet",
    products: [
        .executable(name: "martlet", targets: ["martlet"]),
        .executable(name: "martletctl", targets: ["martletctl"]),
        .library(name: "Datastore", targets: ["Datastore"]),
        .library(name: "Decoder", targets: ["Decoder"]),
        .library(name: "Client", targets: ["Client"]),
        .library(name: "MetricsBackend", targets: ["MetricsBackend"]),
        .library(name: "TracingBackend", targets: ["TracingBackend"]),
        .executable(name: "martlet-decoder", targets: ["martlet-decoder"]),
        .executable(name: "martletutl", targets: ["martletutl"]),
        .executable(name: "martlet-bench", targets: ["martlet-bench"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl.git", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-log.git", from: "1.16.2"),
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift.git", from: "0.2.0"),
        // For the bridges alone; no executable here links them.
        .package(url: "https://github.com/apple/swift-metrics.git", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-distributed-tracing.git", from: "1.7.3"),
    ],
    targets: [
        // C: what Swift cannot say (CRC-32C instructions, variadic system calls), libnghttp2, zlib and libyaml.
        .target(name: "CShims"),
        .systemLibrary(name: "CNGHTTP2", pkgConfig: "libnghttp2", providers: [.apt(["libnghttp2-dev"])]),
        // bcrypt, in libxcrypt; part of every Debian.
        .systemLibrary(name: "CCrypt", providers: [.apt(["libcrypt-dev"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "CProtobufC", providers: [.apt(["libprotobuf-c-dev"])]),
        // Kubernetes' messages, from Sources/Decoder/Resources.
        .target(name: "CKubernetesSchema"),
        .systemLibrary(name: "CYAML", providers: [.apt(["libyaml-dev"])]),

        .target(name: "Wire", dependencies: ["CShims"]),
        .target(name: "DatastoreMetrics", path: "Sources/Metrics"),
        .target(
            name: "DatastoreTracing",
            dependencies: ["DatastoreMetrics", "CShims", "CZlib", .product(name: "Logging", package: "swift-log")],
            path: "Sources/Tracing"),
        .target(name: "Raft", dependencies: ["Wire"]),
        .target(name: "Storage", dependencies: ["Wire", "DatastoreMetrics", "CShims"]),
        .target(name: "StorageSimulation", dependencies: ["Storage"]),
        .target(name: "KeySpace", dependencies: ["Wire", "Storage", "DatastoreMetrics", "DatastoreTracing", "CShims"]),
        .target(
            name: "Transport",
            dependencies: [
                "Wire", "DatastoreMetrics", "DatastoreTracing", "CNGHTTP2", "CZlib", "CShims",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOTLS", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "NIOWebSocket", package: "swift-nio"),
            ]),
        // Traces to a collector.
        .target(
            name: "SpanExport",
            dependencies: [
                "Wire", "DatastoreMetrics", "Transport", .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ]),
        // The client of the v3 API; on the transport's client connections.
        .target(
            name: "Client",
            dependencies: [
                "Wire", "Transport", "CShims",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ]),
        .target(
            name: "Datastore",
            dependencies: [
                "Wire", "DatastoreMetrics", "DatastoreTracing", "Raft", "Storage", "KeySpace", "Transport", "SpanExport", "CCrypt", "CShims",
                "CYAML",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            // The archive itself: one small library less to look for at every start and on every machine.
            linkerSettings: [.linkedLibrary(":libyaml.a")]),
        .executableTarget(name: "martlet", dependencies: ["Datastore"]),
        .target(
            name: "Decoder", dependencies: ["Wire", "CProtobufC", "CKubernetesSchema", "CYAML", "CShims"], exclude: ["Resources"],
            linkerSettings: [.linkedLibrary(":libyaml.a"), .linkedLibrary(":libprotobuf-c.a")]),
        // Apart, so that who reads no encrypted values links no ciphers.
        .systemLibrary(name: "COpenSSL", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CSodium", providers: [.apt(["libsodium-dev"])]),
        .target(
            name: "DecoderEncryption", dependencies: ["Decoder", "Wire", "COpenSSL", "CSodium"],
            linkerSettings: [.linkedLibrary(":libcrypto.a"), .linkedLibrary(":libsodium.a")]),

        // For programs that use our packages: swift-metrics and swift-distributed-tracing on what is above.
        .target(
            name: "MetricsBackend", dependencies: ["DatastoreMetrics", .product(name: "CoreMetrics", package: "swift-metrics")],
            path: "Sources/Bridges/MetricsBackend"),
        .target(
            name: "TracingBackend",
            dependencies: ["SpanExport", "Client", "Wire", .product(name: "Tracing", package: "swift-distributed-tracing")],
            path: "Sources/Bridges/TracingBackend"),

        // Tools: commands and flags as cobra and pflag have them.
        .target(name: "CommandLineTools", path: "Sources/CommandLine"),
        // The system's resolver.
        .systemLibrary(name: "CResolver"),
        .target(
            name: "Control",
            dependencies: [
                "Wire", "Transport", "Client", "Decoder", "CommandLineTools", "CResolver", .product(name: "NIOPosix", package: "swift-nio"),
            ],
            // A command is one task, whose parts stay on its thread.
            swiftSettings: [.enableUpcomingFeature("NonisolatedNonsendingByDefault")]),
        .executableTarget(name: "martletctl", dependencies: ["Control"]),

        // The load generator; its connections are the transport's, on one event loop.
        .target(
            name: "Bench",
            dependencies: [
                "Wire", "Storage", "KeySpace", "Transport", "Client", "CommandLineTools", "CShims",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "Histogram", package: "hdrhistogram-swift"),
            ],
            // A command is one task, whose parts stay on its thread.
            swiftSettings: [.enableUpcomingFeature("NonisolatedNonsendingByDefault")]),
        .executableTarget(name: "martlet-bench", dependencies: ["Bench"]),

        // Measures the decoder: scripts/bench-decoder.
        .executableTarget(name: "decoder-benchmark", dependencies: ["Decoder", "Wire"], path: "Sources/DecoderBenchmark"),
        // What stores keep, read from their files.
        .target(name: "Archive", dependencies: ["Wire", "Storage"]),
        .target(name: "LiveArchive", dependencies: ["Wire", "Archive", "Client"]),
        .target(
            name: "DecoderCommands",
            dependencies: ["Wire", "Storage", "Archive", "LiveArchive", "Client", "Transport", "Decoder", "DecoderEncryption", "CommandLineTools"]),
        .executableTarget(name: "martlet-decoder", dependencies: ["DecoderCommands"]),
        .target(name: "Utility", dependencies: ["Wire", "Storage", "KeySpace", "Archive", "CommandLineTools"]),
        .executableTarget(name: "martletutl", dependencies: ["Utility"]),

        .testTarget(name: "WireTests", dependencies: ["Wire"]),
        .testTarget(name: "MetricsTests", dependencies: ["DatastoreMetrics"]),
        .testTarget(name: "TracingTests", dependencies: ["DatastoreTracing", "CZlib"]),
        .testTarget(name: "RaftTests", dependencies: ["Raft"], exclude: ["Scripts"]),
        .testTarget(name: "StorageTests", dependencies: ["Storage", "StorageSimulation"]),
        .testTarget(name: "KeySpaceTests", dependencies: ["KeySpace", "StorageSimulation"]),
        .testTarget(
            name: "TransportTests", dependencies: ["Transport", .product(name: "NIOEmbedded", package: "swift-nio")],
            exclude: ["Corpus"]),
        .testTarget(
            name: "BridgeTests",
            dependencies: ["MetricsBackend", "TracingBackend", "Transport", "Client", .product(name: "Metrics", package: "swift-metrics")]),
        .testTarget(name: "ClientTests", dependencies: ["Client", .product(name: "NIOPosix", package: "swift-nio")]),
        .testTarget(name: "DatastoreTests", dependencies: ["Datastore", "SpanExport", "StorageSimulation"], exclude: ["Auth/Samples"]),
        .testTarget(name: "CommandLineToolsTests", dependencies: ["CommandLineTools"]),
        .testTarget(name: "ControlTests", dependencies: ["Control", "CommandLineTools", "Client", "Decoder", "Wire"]),
        .testTarget(name: "BenchTests", dependencies: ["Bench", "CommandLineTools", "Wire"]),
        .testTarget(name: "ArchiveTests", dependencies: ["Archive", "Storage", "StorageSimulation", "Wire"]),
        .testTarget(
            name: "DecoderCommandsTests", dependencies: ["DecoderCommands", "CommandLineTools", "Archive", "Storage", "StorageSimulation", "Wire"]),
        .testTarget(name: "UtilityTests", dependencies: ["Utility", "CommandLineTools", "KeySpace", "Storage", "Wire"]),
        .testTarget(name: "DecoderTests", dependencies: ["Decoder"], exclude: ["Samples"]),
        .testTarget(name: "DecoderEncryptionTests", dependencies: ["DecoderEncryption"], exclude: ["Vectors"]),
    ],
    swiftLanguageModes: [.v6]
)
