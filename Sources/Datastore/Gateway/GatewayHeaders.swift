// What the gateway makes of a request's headers: metadata and a deadline for the call.

import Transport
import Wire

enum GatewayHeaders {
    private static let prefix = "grpc-metadata-"

    /// The metadata of a call. `Authorization` is passed as it is; `Grpc-Metadata-…` without its prefix; `Accept` marks the call as the
    /// gateway's.
    static func metadata(_ headers: HTTPFields) -> [(name: MetadataName, value: [UInt8])] {
        var result: [(name: MetadataName, value: [UInt8])] = []
        for field in headers.fields {
            let name = field.name.lowercased()
            switch name {
            case "authorization": result.append((.authorization, Array(field.value.utf8)))
            case "accept": result.append((.gatewayAccept, Array(field.value.utf8)))
            case "user-agent": result.append((.userAgent, Array(field.value.utf8)))
            default:
                guard name.hasPrefix(prefix), let known = known[String(name.dropFirst(prefix.count))] else { continue }
                let value = Array(field.value.utf8)
                // What gRPC metadata could not carry is left out.
                guard value.allSatisfy({ $0 >= 0x20 && $0 <= 0x7e }) else { continue }
                result.append((known, value))
            }
        }
        return result
    }

    private static let known: [String: MetadataName] = [
        "hasleader": .hasLeader, "token": .token, "authorization": .authorization, "client-api-version": .clientAPIVersion,
        "traceparent": .traceparent,
    ]

    /// Nanoseconds until the call's deadline by `Grpc-Timeout`; nil without one.
    static func timeout(_ headers: HTTPFields) throws(CallError) -> UInt64? {
        guard let text = headers["grpc-timeout"], !text.isEmpty else { return nil }
        let bytes = Array(text.utf8)
        let units: [UInt8: Int64] = [
            UInt8(ascii: "n"): 1, UInt8(ascii: "u"): 1_000, UInt8(ascii: "m"): 1_000_000, UInt8(ascii: "S"): 1_000_000_000,
            UInt8(ascii: "M"): 60_000_000_000, UInt8(ascii: "H"): 3_600_000_000_000,
        ]
        guard bytes.count >= 2, let unit = units[bytes[bytes.count - 1]], let number = Int64(text.dropLast()) else {
            throw CallError(.invalidArgument, "invalid grpc-timeout: \(text)")
        }
        // As etcd's: nothing is no limit; less than nothing, or what overflows to it, is over at once.
        let nanoseconds = number &* unit
        return nanoseconds == 0 ? nil : UInt64(max(nanoseconds, 0))
    }
}

/// Errors as the gateway answers them.
enum GatewayError {
    static func httpStatus(_ code: StatusCode) -> Int {
        switch code {
        case .ok: 200
        case .cancelled: 499
        case .unknown: 500
        case .invalidArgument: 400
        case .deadlineExceeded: 504
        case .notFound: 404
        case .alreadyExists: 409
        case .permissionDenied: 403
        case .resourceExhausted: 429
        case .failedPrecondition: 400
        case .aborted: 409
        case .outOfRange: 400
        case .unimplemented: 501
        case .internal: 500
        case .unavailable: 503
        case .dataLoss: 500
        case .unauthenticated: 401
        }
    }

    /// `{"code":N,"message":"…"}`
    static func append(_ code: StatusCode, _ message: String, escapesHTML: Bool, to sink: ByteSink) {
        sink.append("{\"code\":\(code.rawValue)")
        if !message.isEmpty {
            sink.append(",\"message\":\"" as StaticString)
            var message = message
            message.withUTF8 { sink.jsonText(UnsafeRawBufferPointer($0), escapesHTML: escapesHTML) }
            sink.append(byte: UInt8(ascii: "\""))
        }
        sink.append(byte: UInt8(ascii: "}"))
    }

    static func response(_ error: CallError) -> HTTPResponse {
        let sink = ByteSink(capacity: 128)
        append(error.code, error.message, escapesHTML: false, to: sink)
        var headers: HTTPFields = ["Content-Type": "application/json"]
        if error.code == .unauthenticated { headers.add("Www-Authenticate", error.message) }
        return HTTPResponse(status: httpStatus(error.code), headers: headers, body: sink.array())
    }
}
