// Where a task is in its trace, and W3C's headers for it: `traceparent` and `tracestate`.

import Instrumentation
import SpanExport

/// The span that is current in a service context.
public struct TraceIdentity: Sendable, Equatable {
    /// The trace in W3C's 32 hexadecimal digits.
    public var traceID: String { TraceContext.hexadecimal(traceHigh) + TraceContext.hexadecimal(traceLow) }
    /// The span in 16 of them.
    public var spanID: String { TraceContext.hexadecimal(span) }
    public let isSampled: Bool
    /// What vendors keep in `tracestate`; handed on as it came.
    public let state: String

    let traceHigh: UInt64
    let traceLow: UInt64
    let span: UInt64

    init(traceHigh: UInt64, traceLow: UInt64, span: UInt64, isSampled: Bool, state: String) {
        self.traceHigh = traceHigh
        self.traceLow = traceLow
        self.span = span
        self.isSampled = isSampled
        self.state = state
    }
}

extension ServiceContext {
    private enum TraceIdentityKey: ServiceContextKey {
        typealias Value = TraceIdentity
        static var nameOverride: String? { "martlet-trace" }
    }

    /// The current span; nil outside of any trace.
    public internal(set) var traceIdentity: TraceIdentity? {
        get { self[TraceIdentityKey.self] }
        set { self[TraceIdentityKey.self] = newValue }
    }
}

/// Reads and writes W3C's trace context. All that is needed to hand a trace on; `DatastoreTracer` also makes spans.
public struct W3CTraceContext: Instrument {
    static let parent = "traceparent"
    static let state = "tracestate"
    /// Longer ones may be dropped (W3C says 512 at least).
    private static let stateBytesMax = 512

    public init() {}

    public func extract<Carrier, Extract: Extractor>(
        _ carrier: Carrier, into context: inout ServiceContext, using extractor: Extract
    ) where Extract.Carrier == Carrier {
        // A header that is none starts no trace and ends none.
        guard var text = extractor.extract(key: Self.parent, from: carrier),
            let parent = text.withUTF8({ TraceParent(UnsafeRawBufferPointer($0)) })
        else { return }
        let state = extractor.extract(key: Self.state, from: carrier) ?? ""
        context.traceIdentity = TraceIdentity(
            traceHigh: parent.traceHigh, traceLow: parent.traceLow, span: parent.span, isSampled: parent.isSampled,
            state: state.utf8.count <= Self.stateBytesMax ? state : "")
    }

    public func inject<Carrier, Inject: Injector>(
        _ context: ServiceContext, into carrier: inout Carrier, using injector: Inject
    ) where Inject.Carrier == Carrier {
        guard let identity = context.traceIdentity else { return }
        let parent = TraceParent(
            traceHigh: identity.traceHigh, traceLow: identity.traceLow, span: identity.span, isSampled: identity.isSampled)
        injector.inject(parent.text, forKey: Self.parent, into: &carrier)
        if !identity.state.isEmpty { injector.inject(identity.state, forKey: Self.state, into: &carrier) }
    }
}
