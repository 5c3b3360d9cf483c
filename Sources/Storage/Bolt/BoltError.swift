// What is wrong with a bbolt file, and where.

/// An error met while reading a bbolt file. Never a crash, whatever the bytes are.
public struct BoltError: Error, Equatable, Sendable, CustomStringConvertible {
    public enum Problem: Equatable, Sendable {
        /// The disk's answer.
        case disk(StorageError)
        /// Neither of the two meta pages is valid: no bbolt file, or a damaged one.
        case noValidMeta
        /// The file ends before what its meta page says.
        case truncated
        /// A page number that is not within the file.
        case pageOutOfBounds
        /// A page that says it is another one.
        case wrongPageNumber
        /// A page of another kind than its place demands.
        case wrongPageType
        /// An element that is not within its page, or has an impossible size.
        case badElement
        /// Keys that are not in ascending order.
        case keysOutOfOrder
        /// A tree too deep, or with more pages than the file: its pages refer to each other in a circle.
        case circle
        /// A bucket that is damaged or nested too deeply.
        case badBucket
        /// The page is in use and free at once, or used twice.
        case doubleUse
        /// The page is neither in use nor free.
        case leaked
    }

    public let problem: Problem
    public let path: String
    /// The page, if one is to blame.
    public let page: UInt64?
    /// Where in the file.
    public let offset: UInt64?
    public let detail: String

    public init(_ problem: Problem, path: String, page: UInt64? = nil, offset: UInt64? = nil, _ detail: String = "") {
        self.problem = problem
        self.path = path
        self.page = page
        self.offset = offset
        self.detail = detail
    }

    public var description: String {
        if case .disk(let error) = problem { return error.description }
        let what: String =
            switch problem {
            case .disk: ""
            case .noValidMeta: "no valid meta page"
            case .truncated: "the file is truncated"
            case .pageOutOfBounds: "page number out of bounds"
            case .wrongPageNumber: "wrong page number"
            case .wrongPageType: "wrong page type"
            case .badElement: "bad element"
            case .keysOutOfOrder: "keys out of order"
            case .circle: "pages in a circle"
            case .badBucket: "bad bucket"
            case .doubleUse: "page used twice"
            case .leaked: "page neither used nor free"
            }
        var text = "\(path): \(what)"
        if let page { text += ", page \(page)" }
        if let offset { text += ", offset \(offset)" }
        return detail.isEmpty ? text : text + ": " + detail
    }
}
