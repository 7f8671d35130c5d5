import ArgumentParser

/// What the command line says before it is parsed, for it may be wrong.
enum Invocation {
    /// `--json` stands somewhere in front of `--`.
    static func wantsJSON(_ arguments: some Sequence<String> = CommandLine.arguments.dropFirst()) -> Bool {
        arguments.prefix { $0 != "--" }.contains("--json")
    }

    /// The command's names as typed, such as `run` or `dead-letters retry`; `stagewire` when there is none.
    /// Options in front of a command have no values.
    static func command(_ arguments: some Sequence<String> = CommandLine.arguments.dropFirst()) -> String {
        var names: [String] = []
        var children = Stagewire.configuration.subcommands
        for argument in arguments where !argument.hasPrefix("-") {
            guard let child = children.first(where: { $0._commandName == argument }) else { break }
            names.append(argument)
            children = child.configuration.subcommands
        }
        return names.isEmpty ? Stagewire._commandName : names.joined(separator: " ")
    }

    /// What shows the help of the command that was meant.
    static func helpCommand() -> String {
        let command = command()
        return command == Stagewire._commandName ? "stagewire --help" : "stagewire \(command) --help"
    }
}
