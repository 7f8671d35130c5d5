/// A place in a configuration file. Both count from 1; columns count Unicode scalars.
struct Position: Equatable, Comparable, Sendable {
    var line: Int
    var column: Int

    static let start = Position(line: 1, column: 1)

    static func < (a: Self, b: Self) -> Bool { (a.line, a.column) < (b.line, b.column) }
}

/// One thing that is wrong with a configuration: where, what, and what to do about it.
public struct ConfigurationError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The file's name as the caller gave it.
    public var file: String
    /// Counted from 1.
    public var line: Int
    /// Counted from 1, in Unicode scalars.
    public var column: Int
    public var message: String
    /// What to write instead, where that can be said.
    public var hint: String?

    /// `file:line:column: message`, then the hint on a line of its own, indented.
    public var description: String {
        let head = "\(file):\(line):\(column): \(message)"
        guard let hint else { return head }
        return head + "\n    " + hint
    }
}

/// Everything that is wrong with a configuration, in the order of the file. Never empty.
public struct ConfigurationErrors: Error, Equatable, Sendable, CustomStringConvertible {
    public var errors: [ConfigurationError]

    public init(errors: [ConfigurationError]) {
        precondition(!errors.isEmpty, "a configuration fails for a reason")
        self.errors = errors
    }

    /// Lines of `description` that show errors; more are counted, not shown.
    static let shown = 100

    public var description: String {
        var lines = errors.prefix(Self.shown).map(\.description)
        if errors.count > Self.shown { lines.append("and \(errors.count - Self.shown) more") }
        return lines.joined(separator: "\n")
    }
}

/// Text of the file inside backquotes, safe for a terminal: control characters escaped, cut at 60 scalars.
func quoted(_ text: String) -> String {
    var result = "`"
    for (count, scalar) in text.unicodeScalars.enumerated() {
        if count == 60 {
            result += "…"
            break
        }
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator:
            result += scalar.escaped(asASCII: true)
        default:
            result.unicodeScalars.append(scalar)
        }
    }
    return result + "`"
}

/// `a`, `b` or `c`.
func alternatives(_ names: [String]) -> String {
    let marked = names.map { "`\($0)`" }
    guard let last = marked.last, marked.count > 1 else { return marked.first ?? "nothing" }
    return marked.dropLast().joined(separator: ", ") + " or " + last
}
