// The TLS of a listener: its material, read again when files change, and whom it tells.

/// A connection that did not come through its handshake, or was not let in after it.
public struct TLSRejection: Sendable, Equatable {
    public let remoteAddress: String
    /// The host that the client asked for, empty if none.
    public let serverName: String
    /// The names in the client's certificate; nil when it showed none that could be read.
    public let names: (addresses: [String], hostNames: [String])?
    public let error: String
    /// The client just went away: port scanners and health checks of load balancers do.
    public let isEndOfFile: Bool

    public static func == (left: Self, right: Self) -> Bool {
        left.remoteAddress == right.remoteAddress && left.serverName == right.serverName && left.error == right.error
            && left.names?.addresses == right.names?.addresses && left.names?.hostNames == right.names?.hostNames
            && left.isEndOfFile == right.isEndOfFile
    }
}

/// Is told what happens in TLS, on any thread. Calls must be short.
public protocol TLSObserver: AnyObject, Sendable {
    /// A handshake was begun, or ended; for a gauge.
    func handshakeBegan()
    /// `succeeded`: nil when the client spoke plain text, where that is served too.
    func handshakeEnded(succeeded: Bool?)
    func rejected(_ rejection: TLSRejection)
    /// Files are in use for the first time.
    func loaded(notAfter: Int)
    /// Changed files are in use. `notAfter`: when the server's certificate expires, in seconds since 1970.
    func reloaded(notAfter: Int)
    /// Changed files cannot be used; what was loaded before goes on being used.
    func reloadFailed(_ error: TLSSetupError)
}

/// TLS on the server's side; one for any number of listeners. Each handshake is made with the files as they are then;
/// requests never look at files.
public final class TLSServer: Sendable {
    public let settings: TLSServerSettings
    let observer: any TLSObserver
    private let source: Reloading<TLSMaterial>

    /// Reads the files.
    public init(_ settings: TLSServerSettings, observer: any TLSObserver) throws(TLSSetupError) {
        self.settings = settings
        self.observer = observer
        source = try Reloading(settings.files) { (contents, former) throws(TLSSetupError) in
            let material = try TLSMaterial(settings, contents)
            // A revocation list that was good once is kept; one that never was lets nobody in.
            if case .failure(let error)? = material.revocations, case .success? = former?.revocations { throw error }
            return material
        }
        observer.loaded(notAfter: source.last.notAfter)
    }

    /// Whether a pair of files can be used; returns when the certificate expires, in seconds since 1970.
    @discardableResult
    public static func check(certificateFile: String, keyFile: String) throws(TLSSetupError) -> Int {
        let settings = TLSServerSettings(certificateFile: certificateFile, keyFile: keyFile)
        return try Reloading(settings.files) { (contents, _) throws(TLSSetupError) in
            try TLSMaterial(settings, contents)
        }.last.notAfter
    }

    /// What the next handshake is made with.
    func current() -> TLSMaterial {
        let (material, news) = source.current()
        switch news {
        case .changed: observer.reloaded(notAfter: material.notAfter)
        case .failed(let error): observer.reloadFailed(error)
        case .same: break
        }
        return material
    }
}
