import StagewireModel

extension CommandCheck {
    /// Whether the interpreter that a script's first line names is there. `program` is the script.
    func problem(of line: String, _ program: String, _ launch: Launch, _ base: String) -> Problem? {
        let script = quoted(program)
        if line.last == "\r" {
            return Problem(
                message: "`run`: the first line of \(script) ends in a carriage return",
                hint: "save the script with Unix line ends: the system looks for an interpreter of that very name")
        }
        let words = line.split { $0 == " " || $0 == "\t" }.map(String.init)
        guard let interpreter = words.first else {
            return Problem(
                message: "`run`: the first line of \(script) names no interpreter",
                hint: "write one behind `#!`, such as `#!/bin/sh`")
        }
        guard FileLook.at(joined(base, interpreter)).isFile else {
            return Problem(
                message: "`run`: \(script) is a script for \(quoted(interpreter)), which is not there",
                hint: "install it, or correct the script's first line")
        }
        guard interpreter.hasSuffix("/env"), let name = Self.program(ofEnv: words.dropFirst()),
            !searchPath(launch, base).contains(where: { FileLook.at(joined($0, name)).isFile })
        else { return nil }
        return Problem(
            message: "`run`: \(script) is a script for \(quoted(name)), which is not in PATH",
            hint: "install it, or correct the script's first line")
    }

    /// What `env` would start, where that is plain: options of its own and variables make it unclear.
    private static func program(ofEnv words: ArraySlice<String>) -> String? {
        let words = words.first == "-S" ? words.dropFirst() : words
        guard let name = words.first, !name.hasPrefix("-"), !name.contains("="), !name.contains("/") else { return nil }
        return name
    }

    /// Directories in the order in which they are searched: `PATH` of the worker's environment, where a stage's own
    /// one takes the place of the broker's.
    func searchPath(_ launch: Launch, _ base: String) -> [String] {
        // An empty entry is the working directory, and relative ones begin there.
        (launch.environment["PATH"] ?? path).split(separator: ":", omittingEmptySubsequences: false)
            .map { $0.isEmpty ? base : joined(base, String($0)) }
    }
}
