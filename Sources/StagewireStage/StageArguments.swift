import Foundation

/// What the command line of a stage program may say.
struct StageArguments {
    static let help = """
        A stage of a Stagewire pipeline. Let `stagewire run` start it, or set STAGEWIRE_SOCKET and STAGEWIRE_STAGE.

          --test FILE     handle the records in FILE (JSON, one on each line; -: standard input) without a broker
          --config JSON   the stage's configuration for --test, or @FILE
          --limit N       how many records a source prints at most with --test (100)
        """

    struct Test: Equatable {
        /// nil: a source, which reads nothing.
        var file: String?
        var configuration: [UInt8] = []
        var limit = 100
    }

    var test: Test?
    var isHelp = false

    /// - Throws: `ConfigurationError`.
    init(_ arguments: [String]) throws {
        var found = Test()
        var isTest = false
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            switch argument {
            case "--help", "-h": isHelp = true
            case "--test":
                isTest = true
                if let file = rest.first, file == "-" || !file.hasPrefix("--") { found.file = rest.removeFirst() }
            case "--config": found.configuration = try Self.configuration(Self.value(of: argument, &rest))
            case "--limit":
                guard let limit = Int(try Self.value(of: argument, &rest)), limit > 0 else {
                    throw ConfigurationError("--limit takes a number above zero")
                }
                found.limit = limit
            default: throw ConfigurationError("no argument \(argument) is known here; see --help")
            }
        }
        if isTest { test = found }
    }

    private static func value(of argument: String, _ rest: inout ArraySlice<String>) throws -> String {
        guard let value = rest.popFirst() else { throw ConfigurationError("\(argument) takes a value; see --help") }
        return value
    }

    private static func configuration(_ text: String) throws -> [UInt8] {
        guard text.hasPrefix("@") else { return Array(text.utf8) }
        let path = String(text.dropFirst())
        guard let data = FileManager.default.contents(atPath: path) else {
            throw ConfigurationError("--config: cannot read \(path)")
        }
        return Array(data)
    }
}
