// What `--help` prints: a short usage on standard error, all flags on standard output.

/// The texts of `--help`, made from the flag table.
enum HelpText {
    static let usage = """
        Usage:

          martlet [flags]
            Run a server.

          martlet --version
            Print versions and exit.

          martlet --help
            Print all flags and exit.

        """

    static let flags: String = {
        var text = ""
        for section in FlagSection.allCases where section != .ignored {
            if !text.isEmpty { text += "\n" }
            text += section.rawValue + ":\n"
            for flag in FlagTable.all where flag.section == section {
                text += "  --\(flag.name) '\(flag.defaultText)'\n    \(flag.help).\n"
            }
        }
        return text
    }()
}
