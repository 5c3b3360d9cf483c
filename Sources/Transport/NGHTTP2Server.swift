// The C side of a server session: options and callbacks, made once, that lead into `ServerConnection`.

import CNGHTTP2

#if canImport(Glibc)
import Glibc
#endif

enum NGHTTP2Server {
    static func makeSession(_ connection: ServerConnection) -> OpaquePointer {
        var session: OpaquePointer?
        let user = Unmanaged.passUnretained(connection).toOpaque()
        let result = nghttp2_session_server_new2(&session, callbacks, user, options)
        guard result == 0, let session else { fatalError("out of memory: nghttp2 session (\(result))") }
        return session
    }

    nonisolated(unsafe) private static let options: OpaquePointer = {
        var option: OpaquePointer?
        precondition(nghttp2_option_new(&option) == 0)
        // Windows are given back when a message was taken, not when it came.
        nghttp2_option_set_no_auto_window_update(option, 1)
        // No priority tree of streams that are gone.
        nghttp2_option_set_no_closed_streams(option, 1)
        // nghttp2 would refuse an :authority that is none, but clients of etcd 3.5.0 send "#initially=[…]". What
        // makes a head well-formed is checked in ServerConnection+Head.swift instead.
        nghttp2_option_set_no_http_messaging(option, 1)
        nghttp2_option_set_max_outbound_ack(option, TransportLimits.acknowledgementsQueuedMax)
        nghttp2_option_set_stream_reset_rate_limit(option, TransportLimits.resetBurst, TransportLimits.resetsPerSecond)
        return option!
    }()

    nonisolated(unsafe) private static let callbacks: OpaquePointer = {
        var callbacks: OpaquePointer?
        precondition(nghttp2_session_callbacks_new(&callbacks) == 0)
        nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks) { _, frame, user in
            connection(user)._withUnsafeGuaranteedRef { $0.onBeginHeaders(frame.unsafelyUnwrapped) }
        }
        nghttp2_session_callbacks_set_on_header_callback2(callbacks) { _, _, name, value, _, user in
            connection(user)._withUnsafeGuaranteedRef { $0.onHeader(name.unsafelyUnwrapped, value.unsafelyUnwrapped) }
        }
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks) { _, frame, user in
            connection(user)._withUnsafeGuaranteedRef {
                $0.onFrame(frame.unsafelyUnwrapped)
                return $0.stopsParsing ? NGHTTP2_ERR_CALLBACK_FAILURE.rawValue : 0
            }
        }
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) { session, _, stream, bytes, length, user in
            connection(user)._withUnsafeGuaranteedRef {
                $0.onData(stream, UnsafeRawBufferPointer(start: bytes, count: length))
            }
            return 0
        }
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { session, stream, error, user in
            connection(user)._withUnsafeGuaranteedRef { $0.onStreamClosed(stream, error) }
            return 0
        }
        nghttp2_session_callbacks_set_on_frame_send_callback(callbacks) { _, frame, user in
            connection(user)._withUnsafeGuaranteedRef { $0.onFrameSent(frame.unsafelyUnwrapped) }
            return 0
        }
        nghttp2_session_callbacks_set_send_data_callback(callbacks) { _, _, header, length, source, user in
            connection(user)._withUnsafeGuaranteedRef { $0.onSendData(header.unsafelyUnwrapped, length) }
        }
        return callbacks!
    }()

    /// Reads the output of a call. `source.ptr` is the call's slot plus one.
    nonisolated(unsafe) static let provider: nghttp2_data_source_read_callback = { _, _, _, length, flags, source, user in
        let index = UInt32(UInt(bitPattern: source.unsafelyUnwrapped.pointee.ptr) - 1)
        return connection(user)._withUnsafeGuaranteedRef { $0.onRead(index, length, flags.unsafelyUnwrapped) }
    }

    @inline(__always)
    private static func connection(_ user: UnsafeMutableRawPointer?) -> Unmanaged<ServerConnection> {
        Unmanaged.fromOpaque(user.unsafelyUnwrapped)
    }
}
