// A first-in first-out queue of streams; each is in it at most once.

struct StreamQueue {
    private var streams: [WatchStream] = []
    private var head = 0

    var isEmpty: Bool { head == streams.count }
    var count: Int { streams.count - head }

    mutating func append(_ stream: WatchStream) {
        guard !stream.isQueued else { return }
        stream.isQueued = true
        if head > 64, head * 2 > streams.count {
            streams.removeFirst(head)
            head = 0
        }
        streams.append(stream)
    }

    mutating func popFirst() -> WatchStream? {
        guard head < streams.count else { return nil }
        let stream = streams[head]
        head += 1
        if head == streams.count {
            streams.removeAll(keepingCapacity: streams.count <= 1024)
            head = 0
        }
        stream.isQueued = false
        return stream
    }

    /// Gives streams that were just taken their places at the front back.
    mutating func prepend(_ returned: [WatchStream]) {
        for stream in returned.reversed() where !stream.isQueued {
            stream.isQueued = true
            if head > 0 {
                head -= 1
                streams[head] = stream
            } else {
                streams.insert(stream, at: 0)
            }
        }
    }

    mutating func remove(_ stream: WatchStream) {
        guard stream.isQueued else { return }
        stream.isQueued = false
        if let position = streams[head...].firstIndex(where: { $0 === stream }) { streams.remove(at: position) }
    }
}
