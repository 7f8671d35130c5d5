/// Goes through a scalar's value and the file's lines in step (YAML 1.2, chapters 7 and 8).
///
/// Only the way there is followed, not the grammar: what the parser has read is known, so a break of the
/// file is either one space of the value or as many line feeds as stand there, and escapes say how long they are.
struct ScalarWalk {
    private let lines: [[Unicode.Scalar]]
    private let style: Scalar.Style
    private let text: [Unicode.Scalar]
    /// Columns in front of a block's text.
    private var indent = 0
    /// Index of the line and in the line.
    private var line: Int
    private var column: Int

    init(lines: [[Unicode.Scalar]], start: Position, style: Scalar.Style, text: [Unicode.Scalar]) {
        (self.lines, self.style, self.text) = (lines, style, text)
        (line, column) = (start.line - 1, start.column - 1)
        switch style {
        case .plain: break
        case .singleQuoted, .doubleQuoted: column += 1
        case .literal, .folded:
            // The text begins on the line behind the indicator.
            line += 1
            indent = Self.indent(lines, from: line, text)
            column = indent
        }
    }

    /// Spaces in front of the first line that has more than these, less those that belong to the value.
    private static func indent(_ lines: [[Unicode.Scalar]], from first: Int, _ text: [Unicode.Scalar]) -> Int {
        guard first >= 0, let line = lines.dropFirst(first).first(where: { $0.contains { $0 != " " } }) else {
            return 0
        }
        let own = text.drop { $0 == "\n" }.prefix { $0 == " " }.count
        return max(0, line.prefix { $0 == " " }.count - own)
    }

    /// `nil` where the file does not go on as the value does.
    mutating func position(of offset: Int) -> Position? {
        var index = 0
        while index < offset {
            guard let count = step(at: index) else { return nil }
            index += count
        }
        // An escaped break in front of what is asked for is not the place: what follows it is.
        if style == .doubleQuoted, index < text.count { skipEscapedBreaks() }
        guard lines.indices.contains(line), column <= lines[line].count else { return nil }
        return Position(line: line + 1, column: column + 1)
    }

    /// Passes one character of the value, or all line feeds that stand there, and returns how many that were.
    private mutating func step(at index: Int) -> Int? {
        if style == .doubleQuoted { skipEscapedBreaks() }
        guard lines.indices.contains(line) else { return nil }
        if isAtBreak { return stepOverBreak(at: index) }
        let rest = lines[line][column...]
        switch style {
        case .doubleQuoted where rest.first == "\\": column += Self.escapeWidth(rest)
        case .singleQuoted where rest.first == "'": column += 2
        case .plain, .singleQuoted, .doubleQuoted, .literal, .folded:
            guard rest.first == text[index] else { return nil }
            column += 1
        }
        return 1
    }

    /// Whether nothing of the value follows on this line. Spaces at the end of a flow scalar's line are dropped.
    private var isAtBreak: Bool {
        guard lines.indices.contains(line), column < lines[line].count else { return true }
        switch style {
        case .literal, .folded: return false
        case .plain, .singleQuoted, .doubleQuoted: return lines[line][column...].allSatisfy { $0 == " " || $0 == "\t" }
        }
    }

    private mutating func stepOverBreak(at index: Int) -> Int? {
        switch text[index] {
        case " ":
            nextLine()
            return 1
        case "\n":
            nextLine()
            if style == .literal { return 1 }
            skipBreaks()
            return text[index...].prefix { $0 == "\n" }.count
        default: return nil
        }
    }

    private mutating func nextLine() {
        line += 1
        column = indent
        guard lines.indices.contains(line) else { return }
        switch style {
        case .literal, .folded: break
        case .plain, .singleQuoted, .doubleQuoted:
            column = lines[line].prefix { $0 == " " || $0 == "\t" }.count
        }
    }

    private mutating func skipBreaks() {
        while lines.indices.contains(line), isAtBreak { nextLine() }
    }

    /// A backslash at the end of a line: the break is no part of the value.
    private mutating func skipEscapedBreaks() {
        while lines.indices.contains(line), column + 1 == lines[line].count, lines[line][column] == "\\" { nextLine() }
    }

    /// Characters of an escape in a double-quoted scalar (section 5.7).
    private static func escapeWidth(_ rest: ArraySlice<Unicode.Scalar>) -> Int {
        switch rest.dropFirst().first {
        case "x": 4
        case "u": 6
        case "U": 10
        default: 2
        }
    }
}
