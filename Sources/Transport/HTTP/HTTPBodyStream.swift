// The body of a plain HTTP request that is handed over as it arrives.

/// Who reads the body of a request. Called on the event loop.
public protocol HTTPBodyReader: AnyObject {
    /// The next bytes; valid during the call.
    func bodyReceived(_ bytes: UnsafeRawBufferPointer)
    /// The body is complete.
    func bodyEnded()
}

/// What the connection does for a body stream.
protocol HTTPBodySource: AnyObject {
    func setBodyPaused(_ isPaused: Bool)
    /// The reader keeps so many bytes more (or fewer) of the body in memory.
    func accountBody(_ change: Int)
    /// The body may take for ever: it is a conversation.
    func allowEndlessBody()
}

/// A handle on a body that is still arriving. Used on the loop only. Bytes that come while it is paused wait in the peer's windows, but
/// for what was on its way: no more than `TransportLimits.streamWindowBytes`.
public final class HTTPBodyStream: @unchecked Sendable {
    // Unchecked: confined to its event loop.
    private weak var source: (any HTTPBodySource)?
    private var reader: (any HTTPBodyReader)?
    private var isPaused = false
    private var isEnded = false
    private var isEndTold = false
    private var held = 0
    /// The body ends only when the client goes: what it asks has to be answered before.
    public let hasNoEnd: Bool

    init(_ source: any HTTPBodySource, hasNoEnd: Bool = false) {
        self.source = source
        self.hasNoEnd = hasNoEnd
    }

    /// Sets who reads; to be done while the request is being handled, before the body's first byte is lost.
    public func read(by reader: any HTTPBodyReader) {
        self.reader = reader
        tellEnd()
    }

    /// True while bytes should wait.
    public var paused: Bool {
        get { isPaused }
        set {
            guard newValue != isPaused else { return }
            isPaused = newValue
            source?.setBodyPaused(newValue)
        }
    }

    /// Bytes of the body that the reader keeps, so that they count against the connection's limit.
    public var heldBytes: Int {
        get { held }
        set {
            source?.accountBody(newValue - held)
            held = newValue
        }
    }

    /// Without it a body has to come to its end within `ServerConfiguration.readHeaderTimeout`.
    public func allowEndless() { source?.allowEndlessBody() }

    // MARK: From the connection

    func deliver(_ bytes: UnsafeRawBufferPointer) {
        guard !isEnded, bytes.count > 0 else { return }
        reader?.bodyReceived(bytes)
    }

    func end() {
        isEnded = true
        tellEnd()
    }

    private func tellEnd() {
        guard isEnded, !isEndTold, let reader else { return }
        isEndTold = true
        reader.bodyEnded()
    }

    /// The exchange is over: nobody reads any more.
    func detach() {
        heldBytes = 0
        reader = nil
        source = nil
    }
}
