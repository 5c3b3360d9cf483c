// The C side of a client session: options and callbacks that lead into `ClientConnection`.

import CNGHTTP2

enum NGHTTP2Client {
    static func makeSession(_ connection: ClientConnection) -> OpaquePointer {
        var session: OpaquePointer?
        let user = Unmanaged.passUnretained(connection).toOpaque()
        let result = nghttp2_session_client_new2(&session, callbacks, user, options)
        guard result == 0, let session else { fatalError("out of memory: nghttp2 session (\(result))") }
        return session
    }

    nonisolated(unsafe) private static let options: OpaquePointer = {
        var option: OpaquePointer?
        precondition(nghttp2_option_new(&option) == 0)
        nghttp2_option_set_no_auto_window_update(option, 1)
        nghttp2_option_set_no_closed_streams(option, 1)
        nghttp2_option_set_max_outbound_ack(option, TransportLimits.acknowledgementsQueuedMax)
        // Servers of etcd's kind do not limit streams; nghttp2 would assume 100 until their SETTINGS came.
        nghttp2_option_set_peer_max_concurrent_streams(option, UInt32(TransportLimits.streamsPerConnectionMax))
        return option!
    }()

    nonisolated(unsafe) private static let callbacks: OpaquePointer = {
        var callbacks: OpaquePointer?
        precondition(nghttp2_session_callbacks_new(&callbacks) == 0)
        nghttp2_session_callbacks_set_on_header_callback2(callbacks) { _, frame, name, value, _, user in
            connection(user)._withUnsafeGuaranteedRef {
                $0.onHeader(frame.unsafelyUnwrapped.pointee.hd.stream_id, name.unsafelyUnwrapped, value.unsafelyUnwrapped)
            }
            return 0
        }
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks) { _, frame, user in
            let frame = frame.unsafelyUnwrapped
            if frame.pointee.hd.type == UInt8(NGHTTP2_GOAWAY.rawValue) {
                connection(user)._withUnsafeGuaranteedRef { $0.onGoaway(frame.pointee.goaway.error_code) }
            } else if frame.pointee.hd.type == UInt8(NGHTTP2_SETTINGS.rawValue),
                frame.pointee.hd.flags & UInt8(NGHTTP2_FLAG_ACK.rawValue) == 0
            {
                connection(user)._withUnsafeGuaranteedRef { $0.onSettings() }
            }
            return 0
        }
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) { _, _, stream, bytes, length, user in
            connection(user)._withUnsafeGuaranteedRef {
                $0.onData(stream, UnsafeRawBufferPointer(start: bytes, count: length))
            }
            return 0
        }
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { _, stream, error, user in
            connection(user)._withUnsafeGuaranteedRef { $0.onStreamClosed(stream, error) }
            return 0
        }
        nghttp2_session_callbacks_set_send_data_callback(callbacks) { _, _, header, length, _, user in
            connection(user)._withUnsafeGuaranteedRef { $0.onSendData(header.unsafelyUnwrapped, length) }
        }
        return callbacks!
    }()

    nonisolated(unsafe) static let provider: nghttp2_data_source_read_callback = { _, _, _, length, flags, source, user in
        let index = UInt32(UInt(bitPattern: source.unsafelyUnwrapped.pointee.ptr) - 1)
        return connection(user)._withUnsafeGuaranteedRef { $0.onRead(index, length, flags.unsafelyUnwrapped) }
    }

    @inline(__always)
    private static func connection(_ user: UnsafeMutableRawPointer?) -> Unmanaged<ClientConnection> {
        Unmanaged.fromOpaque(user.unsafelyUnwrapped)
    }
}
