// What `--help` prints: a short usage on standard error, all flags on standard output.

/// The texts of `--help`, made from the flag table.
enum HelpText {
    /// What etcd's binary also is when its first argument says so, and this one is not.
    static let otherPrograms: Set<String> = ["gateway", "grpc-proxy"]

    static func notProvided(_ program: String) -> String {
        """
        martlet: "\(program)" is not provided: this program is a server only.
        Clients take several endpoints and find a serving one by themselves; where a proxy is wanted, any
        TCP load balancer stands in for "gateway", and etcd's own grpc-proxy works in front of this server.

        """
    }

    static let usage = """
        Usage:

          martlet [flags]
            Run a server.

          martlet --version
            Print versions and exit.

          martlet -h | --help
            Print all flags and exit.

          martlet --config-file PATH
            Run a server as a YAML or JSON file says; it alone decides, and other flags and ETCD_ variables are ignored.

        """

    static let flags: String = {
        var text = ""
        for section in FlagSection.allCases where section != .ignored {
            if !text.isEmpty { text += "\n" }
            text += section.rawValue + ":\n"
            if section == .unsafe { text += "  These flags give up what consensus and durable storage guarantee.\n" }
            for flag in FlagTable.all where flag.section == section {
                text += "  --\(flag.name) '\(flag.defaultText)'\n    \(flag.help).\n"
            }
        }
        return text
    }()
}
