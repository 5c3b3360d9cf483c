// The trace that a request belongs to, as W3C's `traceparent` carries it, and whether a request is sampled.

/// One sampled request in its trace.
public struct TraceContext: Sendable, Equatable {
    public var traceHigh: UInt64
    public var traceLow: UInt64
    /// The caller's span; 0 when the request begins the trace.
    public var parent: UInt64
    /// The span of this call.
    public var span: UInt64
    /// The caller's `tracestate`, handed on as it came.
    public var state = ""

    public init(traceHigh: UInt64, traceLow: UInt64, parent: UInt64, span: UInt64, state: String = "") {
        self.traceHigh = traceHigh
        self.traceLow = traceLow
        self.parent = parent
        self.span = span
        self.state = state
    }

    public var traceIDText: String { Self.hexadecimal(traceHigh) + Self.hexadecimal(traceLow) }

    public static func hexadecimal(_ value: UInt64) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.utf8.count) + digits
    }
}

/// A caller's `traceparent`.
public struct TraceParent: Equatable, Sendable {
    public let traceHigh: UInt64
    public let traceLow: UInt64
    public let span: UInt64
    public let isSampled: Bool

    /// What a caller with this context sends.
    public init(traceHigh: UInt64, traceLow: UInt64, span: UInt64, isSampled: Bool) {
        self.traceHigh = traceHigh
        self.traceLow = traceLow
        self.span = span
        self.isSampled = isSampled
    }

    /// The header's value.
    public var text: String {
        let trace = TraceContext.hexadecimal(traceHigh) + TraceContext.hexadecimal(traceLow)
        return "00-\(trace)-\(TraceContext.hexadecimal(span))-\(isSampled ? "01" : "00")"
    }

    /// Nil for what is none: the header is ignored then, as the specification has it.
    public init?(_ bytes: UnsafeRawBufferPointer) {
        // 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
        guard bytes.count >= 55, bytes[2] == Self.dash, bytes[35] == Self.dash, bytes[52] == Self.dash,
            let version = Self.number(bytes[0..<2]), version != 0xff,
            bytes.count == 55 || (version > 0 && bytes[55] == Self.dash),
            let high = Self.number(bytes[3..<19]), let low = Self.number(bytes[19..<35]), high | low != 0,
            let span = Self.number(bytes[36..<52]), span != 0, let flags = Self.number(bytes[53..<55])
        else { return nil }
        traceHigh = high
        traceLow = low
        self.span = span
        isSampled = flags & 1 != 0
    }

    private static let dash = UInt8(ascii: "-")

    /// Lower-case hexadecimal digits only.
    private static func number(_ digits: Slice<UnsafeRawBufferPointer>) -> UInt64? {
        var value: UInt64 = 0
        for digit in digits {
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = value << 4 | UInt64(digit - UInt8(ascii: "0"))
            case UInt8(ascii: "a")...UInt8(ascii: "f"): value = value << 4 | UInt64(digit - UInt8(ascii: "a") + 10)
            default: return nil
            }
        }
        return value
    }
}

/// Decides as OpenTelemetry's parent-based sampler with a ratio for roots does.
public struct TraceSampler: Sendable {
    /// Roots are sampled when 63 bits of their ID are below this.
    let bound: UInt64

    public init(perMillion: Int64) {
        bound = perMillion >= 1_000_000 ? .max : UInt64(max(0, perMillion)) * ((1 << 63) / 1_000_000)
    }

    /// - Parameter random: asked for identifiers.
    public func sample(parent: TraceParent?, random: () -> UInt64) -> TraceContext? {
        func identifier() -> UInt64 {
            while true {
                let value = random()
                if value != 0 { return value }
            }
        }
        if let parent {
            guard parent.isSampled else { return nil }
            return TraceContext(traceHigh: parent.traceHigh, traceLow: parent.traceLow, parent: parent.span, span: identifier())
        }
        let low = random()
        guard low >> 1 < bound else { return nil }
        return TraceContext(traceHigh: identifier(), traceLow: low, parent: 0, span: identifier())
    }
}
