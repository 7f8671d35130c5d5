import StagewireModel

struct PredicateToken: Equatable {
    enum Kind: Equatable {
        case name(String)
        case literal(AttributeValue)
        case comparison(Predicate.Comparison)
        case and, or, not, exists, isIn
        case open, close, openList, closeList, comma
        case end
    }

    var kind: Kind
    /// Unicode scalars in front of it.
    var offset: Int
    /// As written, for a sentence.
    var text: String
}

/// Cuts a `when` expression into tokens.
struct PredicateLexer {
    private let text: [Unicode.Scalar]
    private var index = 0

    static func tokens(_ text: String) throws(PredicateError) -> [PredicateToken] {
        guard text.utf8.count <= PredicateLimits.length else {
            throw PredicateError(0, "the expression is longer than \(PredicateLimits.length) bytes")
        }
        var lexer = PredicateLexer(text: Array(text.unicodeScalars))
        var tokens: [PredicateToken] = []
        repeat { tokens.append(try lexer.next()) } while tokens.last?.kind != .end
        return tokens
    }

    private init(text: [Unicode.Scalar]) { self.text = text }

    private var current: Unicode.Scalar? { index < text.count ? text[index] : nil }

    private mutating func next() throws(PredicateError) -> PredicateToken {
        while let scalar = current, scalar.properties.isWhitespace { index += 1 }
        let start = index
        guard let scalar = current else { return PredicateToken(kind: .end, offset: start, text: "the end") }
        let kind: PredicateToken.Kind
        if PredicateSyntax.isNameStart(scalar) {
            kind = word()
        } else if PredicateSyntax.isDigit(scalar) || scalar == "-" {
            kind = try number()
        } else if scalar == "\"" || scalar == "'" {
            kind = .literal(.text(try delimited(by: scalar, "text")))
        } else if scalar == "`" {
            let name = try delimited(by: scalar, "name")
            guard !name.isEmpty else { throw PredicateError(start, "an attribute's name is empty") }
            kind = .name(name)
        } else {
            kind = try symbol(scalar)
        }
        return PredicateToken(kind: kind, offset: start, text: string(start..<index))
    }

    private func string(_ range: Range<Int>) -> String {
        var view = String.UnicodeScalarView()
        view.append(contentsOf: text[range])
        return String(view)
    }

    // MARK: Words

    static let keywords: [String: PredicateToken.Kind] = [
        "and": .and, "or": .or, "not": .not, "exists": .exists, "in": .isIn,
        "true": .literal(.flag(true)), "false": .literal(.flag(false)),
    ]

    private mutating func word() -> PredicateToken.Kind {
        let start = index
        while let scalar = current, PredicateSyntax.isNamePart(scalar) { index += 1 }
        let word = string(start..<index)
        return Self.keywords[word] ?? .name(word)
    }

    // MARK: Numbers

    private mutating func number() throws(PredicateError) -> PredicateToken.Kind {
        let start = index
        if current == "-" { index += 1 }
        // Digits on both sides of a point: what `Double` takes beyond that (`1.`, `nan`, hexadecimal) is none of ours.
        var isWellFormed = skipDigits()
        var isInteger = true
        if current == "." {
            isInteger = false
            index += 1
            isWellFormed = skipDigits() && isWellFormed
        }
        if current == "e" || current == "E" {
            isInteger = false
            index += 1
            if current == "+" || current == "-" { index += 1 }
            isWellFormed = skipDigits() && isWellFormed
        }
        // `3s` or `1.2.3` is no number; take the rest of the word, for the sentence.
        while let scalar = current, PredicateSyntax.isNamePart(scalar) {
            isWellFormed = false
            index += 1
        }
        let written = string(start..<index)
        guard isWellFormed else {
            throw PredicateError(start, "\(quoted(written)) is not a number", hint: "a text needs quotes")
        }
        if isInteger {
            if let value = Int64(written) { return .literal(.integer(value)) }
            throw PredicateError(
                start, "the integer \(quoted(written)) has more than 64 bits", hint: "write `\(written).0`")
        }
        guard let value = Double(written), value.isFinite else {
            throw PredicateError(start, "the number \(quoted(written)) is too large")
        }
        return .literal(.number(value))
    }

    /// Whether there is at least one.
    private mutating func skipDigits() -> Bool {
        let start = index
        while let scalar = current, PredicateSyntax.isDigit(scalar) { index += 1 }
        return index > start
    }

    // MARK: Texts

    private mutating func delimited(by quote: Unicode.Scalar, _ what: String) throws(PredicateError) -> String {
        let start = index
        index += 1
        var content = String.UnicodeScalarView()
        while let scalar = current {
            index += 1
            if scalar == quote { return String(content) }
            if scalar == "\\" {
                content.append(try escaped())
            } else {
                content.append(scalar)
            }
        }
        throw PredicateError(start, "this \(what) has no closing \(quote)")
    }

    private mutating func escaped() throws(PredicateError) -> Unicode.Scalar {
        guard let letter = current, let escape = PredicateSyntax.escapes.first(where: { $0.letter == letter }) else {
            throw PredicateError(index - 1, "unknown escape", hint: "there are \\\\ \\\" \\' \\` \\n \\r \\t")
        }
        index += 1
        return escape.meaning
    }

    // MARK: Symbols

    private mutating func symbol(_ scalar: Unicode.Scalar) throws(PredicateError) -> PredicateToken.Kind {
        let start = index
        index += 1
        if let pair = current.flatMap({ Predicate.Comparison(rawValue: "\(scalar)\($0)") }) {
            index += 1
            return .comparison(pair)
        }
        switch scalar {
        case "(": return .open
        case ")": return .close
        case "[": return .openList
        case "]": return .closeList
        case ",": return .comma
        case "<": return .comparison(.less)
        case ">": return .comparison(.greater)
        case "=": throw PredicateError(start, "`=` does not compare", hint: "write `==`")
        case "!": throw PredicateError(start, "`!` is not an operator", hint: "write `not`")
        case "&": throw PredicateError(start, "`&` is not an operator", hint: "write `and`")
        case "|": throw PredicateError(start, "`|` is not an operator", hint: "write `or`")
        default:
            throw PredicateError(
                start, "the character \(quoted(String(scalar))) has no meaning here",
                hint: "a text needs quotes; an attribute with an unusual name needs backquotes")
        }
    }
}
