// Streams full of watchers: how long they take to be created, and what their events say.

import CShims
import NIOCore
import Wire

/// What a watcher asks for.
struct WatchShape {
    var key: [UInt8]
    var end: [UInt8] = []
    var startRevision: Int64 = 0
    var wantsPrevious = false
    var wantsProgress = false

    func write(to sink: ByteSink) {
        sink.message(1) {
            $0.field(1, key)
            $0.field(2, end)
            $0.field(3, startRevision)
            $0.field(4, wantsProgress)
            $0.field(6, wantsPrevious)
        }
    }
}

/// One event as loads look at it.
struct WatchedEvent {
    let modRevision: Int64
    let value: UnsafeRawBufferPointer
    let isDeletion: Bool
}

/// All watch streams of a run. Confined to the engine's loop.
final class WatchStreams: @unchecked Sendable {
    final class Stream: StreamHandler {
        /// Until `close`, each keeps the other.
        let owner: WatchStreams
        let shapes: [WatchShape]
        var open: OpenStream?
        var created = 0
        var askedAt: UInt64 = 0

        init(_ owner: WatchStreams, _ shapes: [WatchShape]) {
            self.owner = owner
            self.shapes = shapes
        }

        /// One creation after the other, as clientv3 does it.
        func createNext() {
            guard created < shapes.count else { return owner.streamReady() }
            askedAt = martlet_monotonic_ns()
            let shape = shapes[created]
            open?.send { shape.write(to: $0) }
        }

        func received(_ message: UnsafeRawBufferPointer) { owner.received(self, message) }
        func ended(_ reason: String) { owner.lost(reason) }
    }

    private let engine: Engine
    private(set) var streams: [Stream] = []
    private var ready = 0
    private var allReady: EventLoopPromise<Void>?
    private(set) var creations: OperationRecorder
    /// Events seen, and answers to requests for progress or notifications of it.
    private(set) var events = 0
    private(set) var progress = 0
    private(set) var failure: String?
    private(set) var lastEventAt: UInt64 = 0
    var onEvent: ((WatchedEvent, _ now: UInt64) -> Void)?
    private var isClosing = false
    private var lastCreation: (count: UInt64, moment: UInt64) = (0, 0)

    init(_ engine: Engine) {
        self.engine = engine
        creations = OperationRecorder("watch-make", start: martlet_monotonic_ns(), wallStart: Processor.wallNanoseconds())
    }

    /// Opens streams and creates their watchers; returns when the server confirmed all.
    func create(_ shapes: [[WatchShape]]) async throws {
        try await engine.loop.flatSubmit {
            self.creations = OperationRecorder("watch-make", start: martlet_monotonic_ns(), wallStart: Processor.wallNanoseconds())
            let promise = self.engine.loop.makePromise(of: Void.self)
            self.allReady = promise
            self.streams = shapes.map { Stream(self, $0) }
            for (index, stream) in self.streams.enumerated() {
                guard let open = self.engine.open(Path.watch, on: index, stream) else {
                    self.lost("the connection is closed")
                    break
                }
                stream.open = open
                stream.createNext()
            }
            if shapes.isEmpty { promise.succeed() }
            self.guardCreation()
            return promise.futureResult
        }.get()
        creations.finish()
    }

    /// Ends waiting for watchers when the user does, or when none was created for long.
    private func guardCreation() {
        lastCreation = (0, martlet_monotonic_ns())
        engine.loop.scheduleRepeatedTask(
            initialDelay: .milliseconds(BenchLimits.tickMilliseconds), delay: .milliseconds(BenchLimits.tickMilliseconds)
        ) { task in
            guard let waiting = self.allReady else { return task.cancel() }
            let now = martlet_monotonic_ns()
            if self.creations.latencies.count != self.lastCreation.count { self.lastCreation = (self.creations.latencies.count, now) }
            let isStalled = now > self.lastCreation.moment + UInt64(BenchLimits.watchStallSeconds * 1e9)
            guard Interrupt.isAsked || isStalled else { return }
            self.allReady = nil
            waiting.fail(EngineError(isStalled ? "watchers are not created" : "interrupted while watchers were created"))
        }
    }

    private func streamReady() {
        ready += 1
        if ready == streams.count {
            allReady?.succeed()
            allReady = nil
        }
    }

    private func lost(_ reason: String) {
        guard !isClosing else { return }
        if failure == nil { failure = reason }
        creations.record(error: reason, at: martlet_monotonic_ns())
        allReady?.fail(EngineError("watch stream lost: \(reason)"))
        allReady = nil
        engine.run?.stop("watch stream lost: \(reason)")
    }

    private func received(_ stream: Stream, _ message: UnsafeRawBufferPointer) {
        let now = martlet_monotonic_ns()
        var reader = ProtobufReader(message)
        var isCreated = false
        var isCanceled = false
        var count = 0
        var reason = ""
        do {
            while let (field, type) = try reader.next() {
                switch (field, type) {
                case (3, .varint): isCreated = try reader.varint() != 0
                case (4, .varint): isCanceled = try reader.varint() != 0
                case (6, .bytes): reason = String(decoding: try reader.bytes(), as: UTF8.self)
                case (11, .bytes):
                    count += 1
                    let event = try reader.bytes()
                    if let onEvent { try deliver(event, now, onEvent) }
                default: try reader.skip(type, field: field)
                }
            }
        } catch { return lost("an answer that cannot be read") }
        if isCanceled { return lost(reason.isEmpty ? "watch is canceled by the server" : reason) }
        if isCreated {
            creations.record(intended: stream.askedAt, started: stream.askedAt, ended: now)
            stream.created += 1
            stream.createNext()
        } else if count == 0 {
            progress += 1
        } else {
            events += count
            lastEventAt = now
        }
    }

    private func deliver(_ event: UnsafeRawBufferPointer, _ now: UInt64, _ body: (WatchedEvent, UInt64) -> Void) throws(ProtobufError) {
        var reader = ProtobufReader(event)
        var isDeletion = false
        var revision: Int64 = 0
        var value = UnsafeRawBufferPointer(start: nil, count: 0)
        while let (field, type) = try reader.next() {
            switch (field, type) {
            case (1, .varint): isDeletion = try reader.varint() != 0
            case (2, .bytes):
                var kv = ProtobufReader(try reader.bytes())
                while let (field, type) = try kv.next() {
                    switch (field, type) {
                    case (3, .varint): revision = Int64(bitPattern: try kv.varint())
                    case (5, .bytes): value = try kv.bytes()
                    default: try kv.skip(type, field: field)
                    }
                }
            default: try reader.skip(type, field: field)
            }
        }
        body(WatchedEvent(modRevision: revision, value: value, isDeletion: isDeletion), now)
    }

    /// Asks on the first stream how far it is.
    func requestProgress() { streams.first?.open?.send { $0.message(3) { _ in } } }

    func close() {
        isClosing = true
        for stream in streams { stream.open?.cancel() }
        streams = []
    }
}
