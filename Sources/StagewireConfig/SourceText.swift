/// The file as text: its lines, to find a character inside a scalar again.
struct SourceText {
    let name: String
    /// Unicode scalars of each line, without its break. Lines end where libYAML ends them, so that its
    /// marks fit: CR LF, CR, LF, NEL, LS, PS.
    let lines: [[Unicode.Scalar]]

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

    /// Where the scalar number `offset` of a YAML scalar's value stands in the file; the end of the text is behind
    /// its last character that is no space. The scalar's own position if the file does not read as expected (an
    /// anchor in front of the text).
    func position(of offset: Int, in scalar: Scalar, at start: Position) -> Position {
        let text = Array(scalar.text.unicodeScalars)
        let end = (text.lastIndex { !$0.properties.isWhitespace } ?? -1) + 1
        // One further: the end itself.
        var walk = ScalarWalk(lines: lines, start: start, style: scalar.style, text: Array(text.prefix(end)))
        return walk.position(of: min(offset, end)) ?? start
    }
}
