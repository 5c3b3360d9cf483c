// Request heads: from header fields to a call of a method, a plain HTTP request, or a refusal.

import CNGHTTP2
import Wire

#if canImport(Glibc)
import Glibc
#endif

/// Parts of a request head that may come once, or only in order.
struct HeadParts: OptionSet {
    let rawValue: UInt8
    static let method = HeadParts(rawValue: 1)
    static let path = HeadParts(rawValue: 2)
    static let scheme = HeadParts(rawValue: 4)
    static let authority = HeadParts(rawValue: 8)
    /// A field that is no pseudo header; none may follow it.
    static let regular = HeadParts(rawValue: 16)
    static let required: HeadParts = [.method, .path, .scheme]
}

extension ServerConnection {
    private static let refuseStream = Int32(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue)

    func onBeginHeaders(_ frame: UnsafePointer<nghttp2_frame>) -> Int32 {
        currentHead = CallTable.none
        guard frame.pointee.hd.type == UInt8(NGHTTP2_HEADERS.rawValue), frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST
        else { return 0 }
        let stream = frame.pointee.hd.stream_id
        guard openCalls < TransportLimits.streamsPerConnectionMax, queuedBytes < TransportLimits.connectionQueuedBytesMax
        else {
            nghttp2_submit_rst_stream(
                session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream, NGHTTP2_REFUSED_STREAM.rawValue)
            return 0
        }
        let index = loop.calls.take()
        let slot = loop.calls[index]
        slot.pointee.connection = Unmanaged.passUnretained(self)
        slot.pointee.streamID = stream
        slot.pointee.next = firstCall
        if firstCall != CallTable.none { loop.calls[firstCall].pointee.previous = index }
        firstCall = index
        openCalls += 1
        nghttp2_session_set_stream_user_data(session, stream, UnsafeMutableRawPointer(bitPattern: UInt(index) + 1))
        currentHead = index
        headParts = []
        return 0
    }

    /// Resets the stream whose head is being received; the rest of the head is ignored.
    private func refuseHead(_ slot: UnsafeMutablePointer<CallSlot>, _ error: nghttp2_error_code) -> Int32 {
        nghttp2_submit_rst_stream(
            session, UInt8(NGHTTP2_FLAG_NONE.rawValue), slot.pointee.streamID, error.rawValue)
        currentHead = CallTable.none
        return Self.refuseStream
    }

    func onHeader(_ name: OpaquePointer, _ value: OpaquePointer) -> Int32 {
        guard currentHead != CallTable.none else { return 0 }
        let slot = loop.calls[currentHead]
        let nameBytes = headerBytes(name)
        let valueBytes = headerBytes(value)
        slot.pointee.headerBytes += nameBytes.count + valueBytes.count + 32
        guard slot.pointee.headerBytes <= TransportLimits.headerListBytesMax else {
            loop.counters.connectionsRejected.add(1)
            return refuseHead(slot, NGHTTP2_ENHANCE_YOUR_CALM)
        }
        guard
            nghttp2_rcbuf_is_static(name) != 0
                || nghttp2_check_header_name(nameBytes.baseAddress?.assumingMemoryBound(to: UInt8.self), nameBytes.count) != 0,
            nghttp2_check_header_value(valueBytes.baseAddress?.assumingMemoryBound(to: UInt8.self), valueBytes.count) != 0
        else { return refuseHead(slot, NGHTTP2_PROTOCOL_ERROR) }
        if nameBytes[0] == UInt8(ascii: ":") {
            let part = pseudoHeader(slot, nameBytes, value, valueBytes)
            guard let part, !headParts.contains(part), !headParts.contains(.regular) else {
                return refuseHead(slot, NGHTTP2_PROTOCOL_ERROR)
            }
            headParts.insert(part)
        } else {
            headParts.insert(.regular)
            // Fields about the connection have no place in HTTP/2; grpc-go refuses them too.
            if nameBytes.count == 10, matches(nameBytes, "connection") { return refuseHead(slot, NGHTTP2_PROTOCOL_ERROR) }
            if slot.pointee.method == -1, slot.pointee.exchange == nil { route(slot) }
            if let exchange = slot.pointee.exchange {
                exchange.headers.append((String(decoding: nameBytes, as: UTF8.self), String(decoding: valueBytes, as: UTF8.self)))
            }
            header(slot, nameBytes, value, valueBytes)
        }
        return 0
    }

    @inline(__always)
    private func matches(_ name: UnsafeRawBufferPointer, _ text: StaticString) -> Bool {
        name.count == text.utf8CodeUnitCount && memcmp(name.baseAddress.unsafelyUnwrapped, text.utf8Start, name.count) == 0
    }

    /// Nil for a pseudo header that requests do not have, or a path that is none.
    private func pseudoHeader(
        _ slot: UnsafeMutablePointer<CallSlot>, _ name: UnsafeRawBufferPointer, _ value: OpaquePointer,
        _ bytes: UnsafeRawBufferPointer
    ) -> HeadParts? {
        switch name.count {
        case 5 where matches(name, ":path"):
            guard bytes.count > 0, bytes[0] == UInt8(ascii: "/") || bytes[0] == UInt8(ascii: "*"), slot.pointee.path == nil
            else { return nil }
            nghttp2_rcbuf_incref(value)
            slot.pointee.path = value
            return .path
        case 7 where matches(name, ":scheme"): return .scheme
        case 7 where matches(name, ":method"):
            if matches(bytes, "POST") {
                slot.pointee.flags.insert(.isPOST)
            } else {
                slot.pointee.statusText = String(decoding: bytes, as: UTF8.self)
            }
            return .method
        case 10 where matches(name, ":authority"):
            guard slot.pointee.authority == nil else { return nil }
            nghttp2_rcbuf_incref(value)
            slot.pointee.authority = value
            return .authority
        default: return nil
        }
    }

    /// After the pseudo headers: a POST to the path of a method is that method's, the rest is collected as a
    /// plain HTTP request (or to be refused, once the content type is known).
    private func route(_ slot: UnsafeMutablePointer<CallSlot>) {
        if slot.pointee.flags.contains(.isPOST), endpoint.servesGRPC, let path = slot.pointee.path,
            let method = endpoint.methods.find(headerBytes(path))
        {
            slot.pointee.method = Int32(method)
        } else {
            _ = exchange(slot)
        }
    }

    private func exchange(_ slot: UnsafeMutablePointer<CallSlot>) -> HTTP2Exchange {
        if let exchange = slot.pointee.exchange { return exchange }
        let exchange = HTTP2Exchange()
        slot.pointee.exchange = exchange
        return exchange
    }

    private func header(
        _ slot: UnsafeMutablePointer<CallSlot>, _ name: UnsafeRawBufferPointer, _ value: OpaquePointer,
        _ bytes: UnsafeRawBufferPointer
    ) {
        switch name.count {
        case 5 where matches(name, "token"): keep(slot, value, .token)
        case 9 where matches(name, "hasleader"): keep(slot, value, .hasLeader)
        case 10 where matches(name, "user-agent"): keep(slot, value, .userAgent)
        case 11 where matches(name, "traceparent"): keep(slot, value, .traceparent)
        case 12 where matches(name, "content-type"): contentType(slot, bytes)
        // Of gRPC calls only: plain HTTP requests bring theirs to their handler.
        case 12 where slot.pointee.method >= 0 && matches(name, "grpc-timeout"): timeout(slot, bytes)
        case 13 where slot.pointee.method >= 0 && matches(name, "grpc-encoding"): encoding(slot, bytes)
        case 13 where matches(name, "authorization"): keep(slot, value, .authorization)
        case 18 where matches(name, "client-api-version"): keep(slot, value, .clientAPIVersion)
        case 18 where matches(name, "grpcgateway-accept"): keep(slot, value, .gatewayAccept)
        default:
            for (position, registered) in endpoint.metadataNames.enumerated()
            where registered.withUnsafeBytes({ equalBytes($0, name) }) {
                keep(slot, value, .registered(position))
            }
        }
    }

    @inline(__always)
    private func keep(_ slot: UnsafeMutablePointer<CallSlot>, _ value: OpaquePointer, _ name: MetadataName) {
        slot.pointee.metadata.keep(value, at: Int(name.index))
    }

    /// "application/grpc" alone or followed by "+subtype" or ";parameters", in any case.
    private func contentType(_ slot: UnsafeMutablePointer<CallSlot>, _ bytes: UnsafeRawBufferPointer) {
        let expected: StaticString = "application/grpc"
        let length = expected.utf8CodeUnitCount
        let isGRPC =
            bytes.count >= length && strncasecmp(bytes.baseAddress!.assumingMemoryBound(to: CChar.self), UnsafeRawPointer(expected.utf8Start).assumingMemoryBound(to: CChar.self), length) == 0
            && (bytes.count == length || bytes[length] == UInt8(ascii: "+") || bytes[length] == UInt8(ascii: ";"))
        if isGRPC {
            slot.pointee.flags.insert(.isGRPC)
        } else {
            slot.pointee.flags.insert(.wrongContentType)
            exchange(slot).contentType = String(decoding: bytes, as: UTF8.self)
        }
    }

    private func timeout(_ slot: UnsafeMutablePointer<CallSlot>, _ bytes: UnsafeRawBufferPointer) {
        do throws(GRPCTimeout.Malformed) {
            slot.pointee.deadline = loop.now + (try GRPCTimeout.parse(bytes))
        } catch {
            slot.pointee.flags.insert(.refused)
            slot.pointee.statusText = "malformed grpc-timeout: \(error.text)"
        }
    }

    private func encoding(_ slot: UnsafeMutablePointer<CallSlot>, _ bytes: UnsafeRawBufferPointer) {
        if matches(bytes, "identity") { return }
        slot.pointee.flags.insert(.compressed)
        exchange(slot).encoding = String(decoding: bytes, as: UTF8.self)
    }

    // MARK: Complete heads

    func headComplete(_ index: UInt32, _ slot: UnsafeMutablePointer<CallSlot>) {
        guard headParts.isSuperset(of: .required) else {
            _ = refuseHead(slot, NGHTTP2_PROTOCOL_ERROR)
            return
        }
        if slot.pointee.headerBytes > TransportLimits.headerListBytesFree {
            slot.pointee.flags.insert(.headAccounted)
            accountInput(slot.pointee.headerBytes)
            guard partialBytes <= TransportLimits.receivedPartialBytesMax else {
                loop.counters.connectionsRejected.add(1)
                _ = refuseHead(slot, NGHTTP2_ENHANCE_YOUR_CALM)
                return
            }
        }
        currentHead = CallTable.none
        if slot.pointee.method == -1 { route(slot) }
        slot.pointee.flags.insert([.headDone, .alive])
        let flags = slot.pointee.flags
        if slot.pointee.method == -1 {
            if flags.contains(.isGRPC), endpoint.servesGRPC {
                refuseUnrouted(index, slot)
            } else if endpoint.http != nil {
                slot.pointee.deadline = .max
                slot.pointee.flags.insert(.http)
                httpHeadComplete(index, slot)
            } else {
                refuse(index, slot, 415, .invalidArgument, wrongContentType(slot))
            }
            return
        }
        guard flags.contains(.isGRPC) else {
            return refuse(index, slot, 415, .invalidArgument, wrongContentType(slot))
        }
        if flags.contains(.refused) {
            return refuse(index, slot, 400, .internal, slot.pointee.statusText)
        }
        start(index, slot)
    }

    private func wrongContentType(_ slot: UnsafeMutablePointer<CallSlot>) -> String {
        "invalid gRPC request content-type \(quoted(slot.pointee.exchange?.contentType ?? ""))"
    }

    private func refuseUnrouted(_ index: UInt32, _ slot: UnsafeMutablePointer<CallSlot>) {
        if slot.pointee.flags.contains(.isPOST) {
            let error = endpoint.methods.unknownMethod(path: slot.pointee.path.map(headerText) ?? "")
            slot.pointee.deadline = .max
            finish(index, slot, error.code, error.message)
        } else {
            let method = slot.pointee.statusText
            refuse(
                index, slot, 405, .internal, "Received a HEADERS frame with :method \(quoted(method)) which should be POST")
        }
    }

    /// Answers with an HTTP error that carries a gRPC status too, as grpc-go does for what is no gRPC request.
    private func refuse(
        _ index: UInt32, _ slot: UnsafeMutablePointer<CallSlot>, _ httpStatus: Int, _ code: StatusCode, _ text: String
    ) {
        slot.pointee.deadline = .max
        slot.pointee.flags.remove(.alive)
        slot.pointee.flags.insert([.finished, .responding])
        HeaderFields.with([
            (":status", "\(httpStatus)"), ("content-type", "application/grpc"), ("grpc-status", "\(code.rawValue)"),
            ("grpc-message", PercentEncoding.encode(text)),
        ]) { fields, count in
            nghttp2_submit_response(session, slot.pointee.streamID, fields, count, nil)
        }
        resetUnlessRemoteClosed(slot)
    }

    private func start(_ index: UInt32, _ slot: UnsafeMutablePointer<CallSlot>) {
        loop.counters.callsStarted.add(1)
        loop.counters.callsOpen.add(1)
        slot.pointee.record.begin(at: loop.now)
        let method = Int(slot.pointee.method)
        let call = Call(loop, index, slot.pointee.generation)
        slot.pointee.startedAt = loop.now
        slot.pointee.client = client
        endpoint.observer?.callStarted(method: method, call)
        if slot.pointee.deadline != .max {
            if slot.pointee.deadline <= loop.now {
                return end(index, slot, .deadlineExceeded, "context deadline exceeded", telling: .deadline)
            }
            loop.setDeadline(index, slot, slot.pointee.deadline)
        }
        if slot.pointee.flags.contains(.compressed), slot.pointee.exchange?.encoding != "gzip" {
            let encoding = slot.pointee.exchange?.encoding ?? ""
            return end(
                index, slot, .unimplemented, "grpc: Decompressor is not installed for grpc-encoding \(quoted(encoding))",
                telling: .failed(.unimplemented))
        }
        if endpoint.kinds[method] == .bidirectional {
            slot.pointee.flags.insert(.delivered)
            endpoint.handlers[method].opened(call)
        }
    }
}
