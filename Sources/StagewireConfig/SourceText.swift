/// The file as text: its lines, to find a character inside a scalar again.
struct SourceText {
    let name: String
    /// Unicode scalars of each line, without its break. Lines end where libYAML ends them, so that its
    /// marks fit: CR LF, CR, LF, NEL, LS, PS.
    private let lines: [[Unicode.Scalar]]

    init(name: String, text: String) {
        self.name = name
        var lines: [[Unicode.Scalar]] = [[]]
        var previous: Unicode.Scalar?
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\n" where previous == "\r": break
            case "\n", "\r", "\u{85}", "\u{2028}", "\u{2029}": lines.append([])
            default: lines[lines.count - 1].append(scalar)
            }
            previous = scalar
        }
        self.lines = lines
    }

    /// Where the scalar number `offset` of a YAML scalar's value stands in the file. Exact for plain and quoted
    /// scalars of one line and for literal blocks; for the others, the scalar's own position (a folded
    /// block: its first line of text).
    func position(of offset: Int, in scalar: Scalar, at start: Position) -> Position {
        switch scalar.style {
        case .plain: positionInLine(offset, scalar, start, skip: 0) { _ in 1 }
        case .singleQuoted:
            positionInLine(offset, scalar, start, skip: 1) { $0.first == "'" ? 2 : 1 }
        case .doubleQuoted:
            positionInLine(offset, scalar, start, skip: 1, width: Self.escapeWidth)
        case .literal: positionInBlock(offset, scalar, start)
        case .folded: firstLine(ofBlockAt: start)
        }
    }

    /// Walks value and line in step; `width` says how many characters of the line make the next one of the value.
    private func positionInLine(
        _ offset: Int, _ scalar: Scalar, _ start: Position, skip: Int, width: (ArraySlice<Unicode.Scalar>) -> Int
    ) -> Position {
        guard lines.indices.contains(start.line - 1) else { return start }
        let line = lines[start.line - 1]
        var index = start.column - 1 + skip
        for _ in 0..<offset {
            guard index < line.count else { return start }
            index += width(line[index...])
        }
        // The end of the expression may be one past the last character, on the closing quote.
        guard index <= line.count, isWithinLine(scalar, line, from: start.column - 1 + skip, width) else {
            return start
        }
        return Position(line: start.line, column: index + 1)
    }

    private func isWithinLine(
        _ scalar: Scalar, _ line: [Unicode.Scalar], from first: Int, _ width: (ArraySlice<Unicode.Scalar>) -> Int
    ) -> Bool {
        var index = first
        for _ in scalar.text.unicodeScalars {
            guard index < line.count else { return false }
            index += width(line[index...])
        }
        return index <= line.count
    }

    /// Characters of an escape in a double-quoted scalar (YAML 1.2, section 5.7); 1 for anything else.
    private static func escapeWidth(_ rest: ArraySlice<Unicode.Scalar>) -> Int {
        guard rest.first == "\\" else { return 1 }
        switch rest.dropFirst().first {
        case "x": return 4
        case "u": return 6
        case "U": return 10
        default: return 2
        }
    }

    /// A literal block's text begins on the line after `|`; every line is that of the value behind some indentation.
    private func positionInBlock(_ offset: Int, _ scalar: Scalar, _ start: Position) -> Position {
        let before = scalar.text.unicodeScalars.prefix(offset)
        let line = start.line + 1 + before.count { $0 == "\n" }
        guard lines.indices.contains(line - 1) else { return start }
        let column = before.reversed().prefix { $0 != "\n" }.count
        let length = column + scalar.text.unicodeScalars.dropFirst(offset).prefix { $0 != "\n" }.count
        return Position(line: line, column: max(0, lines[line - 1].count - length) + column + 1)
    }

    /// A folded block joins its lines; its text begins on the line after `>`.
    private func firstLine(ofBlockAt start: Position) -> Position {
        guard lines.indices.contains(start.line) else { return start }
        return Position(line: start.line + 1, column: lines[start.line].prefix { $0 == " " }.count + 1)
    }
}
