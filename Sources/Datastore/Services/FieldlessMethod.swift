// Requests without fields that matter. Nothing in them is read, yet bytes that are no message are refused as those of any other method.

import Transport
import Wire

/// Checks that the request is a message, whatever unknown fields it has, and passes it on.
final class FieldlessMethod: MethodHandler {
    private let handler: any MethodHandler
    init(_ handler: any MethodHandler) { self.handler = handler }

    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        do throws(ProtobufError) {
            try FieldlessMethod.check(bytes)
        } catch {
            return call.fail(error.callError)
        }
        handler.message(call, bytes)
    }

    /// Whether the bytes are a message at all.
    static func check(_ bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() { try reader.skip(type, field: field) }
    }

    func opened(_ call: Call) { handler.opened(call) }
    func halfClosed(_ call: Call) { handler.halfClosed(call) }
    func writable(_ call: Call) { handler.writable(call) }
    func cancelled(_ call: Call, _ reason: CancelReason) { handler.cancelled(call, reason) }
}
