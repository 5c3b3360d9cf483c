// Exit codes, as scripts around etcdctl know them.

enum Status {
    static let error: Int32 = 1
    static let badConnection: Int32 = 2
    static let invalidInput: Int32 = 3
    static let badFeature: Int32 = 4
    static let interrupted: Int32 = 5
    static let badArguments: Int32 = 128
}
