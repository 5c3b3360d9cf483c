// Every bound of the tool in one place.

enum ToolLimits {
    /// What is read from standard input or a file that is decoded or encoded.
    static let inputBytesMax = 256 << 20
    /// Places at which an object is looked for in an input that does not begin with one.
    static let objectSearchesMax = 1000
    /// Buffers above this are given back after their use.
    static let bufferBytesKept = 4 << 20
    /// Lines of a text that are compared line by line; more are shown as replaced.
    static let diffLinesMax = 20_000
    /// Lines around a change.
    static let diffContext = 3
    /// Rows of each table of `analyze` unless more are asked for; Auger shows as many.
    static let rowsShown = 12
    /// A growth per hour is shown for histories at least this long.
    static let growthSecondsMin: Int64 = 60
    /// Actions in each other within a template.
    static let templateDepthMax = 32
    /// Elements and characters that a template may print.
    static let templateBytesMax = 64 << 20
}
