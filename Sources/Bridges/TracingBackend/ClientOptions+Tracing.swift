// Calls of our client carry the trace of the task that makes them.

import Client
import Instrumentation

extension ClientOptions {
    /// Lets an instrument add to the metadata of each call what belongs to the current service context: with `W3CTraceContext`, a
    /// `DatastoreTracer` or any other tracer of the process, the server's spans become children of the caller's.
    ///
    ///     options.propagate(InstrumentationSystem.instrument)
    ///
    /// Streams that a client keeps for many watches or leases carry no trace: they belong to no single task.
    public mutating func propagate(_ instrument: any Instrument) {
        let others = metadata
        metadata = {
            var pairs = others?() ?? []
            guard let context = ServiceContext.current else { return pairs }
            instrument.inject(context, into: &pairs, using: MetadataInjector())
            return pairs
        }
    }
}

/// Names of gRPC metadata are lower case; what cannot be sent is left out.
private struct MetadataInjector: Injector {
    func inject(_ value: String, forKey key: String, into pairs: inout [(String, String)]) {
        let name = key.lowercased()
        let isName = !name.isEmpty && name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"),
                UInt8(ascii: "."):
                true
            default: false
            }
        }
        guard isName, !name.hasPrefix("grpc-"), value.utf8.allSatisfy({ (0x20...0x7e).contains($0) }) else { return }
        pairs.append((name, value))
    }
}
