// A message whose length is known and whose bytes are made while it is sent.

import Wire

/// Bytes of one message, pulled as the peer's windows and the socket take them, so that a message of any size
/// costs a constant amount of memory. Used on the event loop of its call.
public protocol BodySource: AnyObject {
    /// Writes up to `buffer.count` bytes and returns how many. 0 = nothing now: call `Call.resume()` when there
    /// is. An error resets the stream with INTERNAL_ERROR: the length is on its way, no status can follow.
    ///
    /// The buffer has gaps for frame headers: bytes are put where they are sent from.
    func read(into buffer: GappedBuffer) throws -> Int
    /// The message will not be read to its end. Not called after the last byte was read.
    func cancelled()
}
