// Reading and changing keys.

import Wire

extension Client {
    /// Reads a range. All of it comes in one answer; for long lists see `pages`.
    public func get(_ get: Get, timeout: Duration? = nil) async throws(ClientError) -> GetResponse {
        try await getAnswer(get, timeout: timeout).message
    }

    public func getAnswer(_ get: Get, timeout: Duration? = nil) async throws(ClientError) -> Answer<GetResponse> {
        try await answer(.range, timeout: timeout) { get.encode(to: $0) }
    }

    /// The value of one key, nil if it does not exist.
    public func value(of key: String, timeout: Duration? = nil) async throws(ClientError) -> [UInt8]? {
        try await get(Get(key), timeout: timeout).kvs.first?.value
    }

    public func put(_ put: Put, timeout: Duration? = nil) async throws(ClientError) -> PutResponse {
        try await putAnswer(put, timeout: timeout).message
    }

    public func putAnswer(_ put: Put, timeout: Duration? = nil) async throws(ClientError) -> Answer<PutResponse> {
        try await answer(.put, timeout: timeout) { put.encode(to: $0) }
    }

    @discardableResult
    public func put(_ key: String, _ value: String, timeout: Duration? = nil) async throws(ClientError) -> PutResponse {
        try await put(Put(key, value), timeout: timeout)
    }

    public func delete(_ delete: Delete, timeout: Duration? = nil) async throws(ClientError) -> DeleteResponse {
        try await deleteAnswer(delete, timeout: timeout).message
    }

    public func deleteAnswer(_ delete: Delete, timeout: Duration? = nil) async throws(ClientError) -> Answer<DeleteResponse> {
        try await answer(.deleteRange, timeout: timeout) { delete.encode(to: $0) }
    }

    /// Does everything or nothing, at one revision.
    public func transaction(_ transaction: Transaction, timeout: Duration? = nil) async throws(ClientError) -> TransactionResponse {
        try await transactionAnswer(transaction, timeout: timeout).message
    }

    public func transactionAnswer(
        _ transaction: Transaction, timeout: Duration? = nil
    ) async throws(ClientError) -> Answer<TransactionResponse> {
        try await answer(.txn, timeout: timeout, isRepeatable: !transaction.isWrite) { transaction.encode(to: $0) }
    }

    /// Forgets what is older than `revision`. `waitsForDisk`: the answer comes when the space is free.
    @discardableResult
    public func compact(to revision: Int64, waitsForDisk: Bool = false, timeout: Duration? = nil) async throws(ClientError) -> Header {
        let answer: Answer<HeaderResponse> = try await answer(.compact, timeout: timeout) {
            $0.field(1, revision)
            $0.field(2, waitsForDisk)
        }
        return answer.message.header
    }

    /// Reads a range in parts of `size` keys, all as of one revision: that of the first part, or the one asked for. Order and
    /// limit of `get` are not heeded.
    public func pages(_ get: Get, size: Int64 = 1_000, timeout: Duration? = nil) -> Pages {
        Pages(client: self, get: get, size: size, timeout: timeout)
    }

    /// Reads a range as a stream of parts that the server chooses (etcd 3.7). Only serves ranges in the order of their keys.
    public func rangeStream(_ get: Get) async throws(ClientError) -> RangeStream {
        RangeStream(try await stream(.rangeStream, encoded { get.encode(to: $0) }))
    }
}

/// Parts of a long list.
public struct Pages: AsyncSequence, Sendable {
    public typealias Element = GetResponse
    public typealias Failure = ClientError

    let client: Client
    let get: Get
    let size: Int64
    let timeout: Duration?

    public struct Iterator: AsyncIteratorProtocol {
        let client: Client
        var get: Get
        let end: [UInt8]
        let timeout: Duration?
        var isFinished = false

        public mutating func next() async throws(ClientError) -> GetResponse? {
            try await next(isolation: nil)
        }

        public mutating func next(isolation actor: isolated (any Actor)?) async throws(ClientError) -> GetResponse? {
            guard !isFinished else { return nil }
            let part = try await client.get(get, timeout: timeout)
            if get.revision == 0 { get.revision = part.header.revision }
            isFinished = !part.more
            if let last = part.kvs.last {
                get.range = .interval(last.key + [0], end)
            } else {
                isFinished = true
            }
            return part
        }
    }

    public func makeAsyncIterator() -> Iterator {
        var get = get
        get.limit = size
        get.order = .none
        get.target = .key
        let (key, end) = get.range.bounds
        // One key needs no second part.
        if end.isEmpty { return Iterator(client: client, get: get, end: key + [0], timeout: timeout) }
        get.range = .interval(key, end)
        return Iterator(client: client, get: get, end: end, timeout: timeout)
    }
}

/// Parts of an answer, in the order of the keys.
public struct RangeStream: AsyncSequence, Sendable {
    public typealias Element = Answer<GetResponse>
    public typealias Failure = ClientError

    let stream: StreamCall

    init(_ stream: StreamCall) { self.stream = stream }

    public struct Iterator: AsyncIteratorProtocol {
        let stream: StreamCall
        var waiting: ArraySlice<[UInt8]> = []

        public mutating func next() async throws(ClientError) -> Answer<GetResponse>? {
            try await next(isolation: nil)
        }

        public mutating func next(isolation actor: isolated (any Actor)?) async throws(ClientError) -> Answer<GetResponse>? {
            if waiting.isEmpty { waiting = try await stream.next()[...] }
            guard let bytes = waiting.popFirst() else { return nil }
            // RangeStreamResponse wraps the part in field 1.
            do throws(ProtobufError) {
                let inner: Result<[UInt8], ProtobufError> = bytes.withUnsafeBytes { view in
                    do throws(ProtobufError) {
                        var inner: [UInt8] = []
                        var reader = ProtobufReader(view)
                        while let (field, type) = try reader.next() {
                            if field == 1 { inner = try reader.array(type) } else { try reader.skip(type, field: field) }
                        }
                        return .success(inner)
                    } catch { return .failure(error) }
                }
                return try Answer(bytes: try inner.get())
            } catch {
                throw .malformed(error)
            }
        }
    }

    public func makeAsyncIterator() -> Iterator { Iterator(stream: stream) }
}
