// The answer to a large transaction that only reads, pulled by the transport while it is sent.

import KeySpace
import Transport
import Wire

final class TxnBody: BodySource {
    private let header = ByteSink(capacity: 64)
    private var headerSent = 0
    private let reading: TxnReading
    private let node: Node
    let length: Int

    init(_ reading: TxnReading, node: Node) {
        self.reading = reading
        self.node = node
        node.headers.append(to: header, revision: reading.revision, term: node.consensus.term)
        length = header.count + reading.encodedLength
    }

    func read(into buffer: GappedBuffer) throws -> Int {
        let filled = min(buffer.count, header.count - headerSent)
        if filled > 0 {
            buffer.copy(UnsafeRawBufferPointer(rebasing: header.bytes[headerSent..<headerSent + filled]), to: 0)
            headerSent += filled
        }
        guard filled < buffer.count else { return filled }
        do {
            return filled + (try reading.read(into: buffer.suffix(from: filled)))
        } catch {
            throw node.readFailed(error)
        }
    }

    func cancelled() {}
}
