extension Predicate {
    /// The expression as a file would write it, with no more parentheses than it needs. Reading it again gives
    /// an equal predicate, provided that its numbers are finite and no list is empty.
    public var expression: String { text(within: .either) }

    /// How tightly the surroundings bind.
    private enum Binding: Int { case either, both, unary }

    private func text(within outer: Binding) -> String {
        let (binding, text): (Binding, String) =
            switch self {
            case .compare(let name, let comparison, let literal):
                (.unary, "\(Self.text(name)) \(comparison.rawValue) \(literal.literal)")
            case .isIn(let name, let literals):
                (.unary, "\(Self.text(name)) in [\(literals.map(\.literal).joined(separator: ", "))]")
            case .exists(let name): (.unary, "exists \(Self.text(name))")
            case .not(let inner): (.unary, "not \(inner.text(within: .unary))")
            // Both operators are read from the left, so the right side is the one that needs parentheses.
            case .and(let a, let b): (.both, "\(a.text(within: .both)) and \(b.text(within: .unary))")
            case .or(let a, let b): (.either, "\(a.text(within: .either)) or \(b.text(within: .both))")
            }
        return binding.rawValue < outer.rawValue ? "(\(text))" : text
    }

    private static func text(_ name: String) -> String {
        let scalars = name.unicodeScalars
        let isPlain = scalars.first.map(PredicateSyntax.isNameStart) ?? false
        if isPlain, scalars.allSatisfy(PredicateSyntax.isNamePart), !PredicateSyntax.keywords.contains(name) {
            return name
        }
        return AttributeValue.delimited(name, by: "`")
    }
}

extension AttributeValue {
    /// As a `when` expression writes it.
    var literal: String {
        switch self {
        case .text(let text): Self.delimited(text, by: "\"")
        case .integer(let integer): String(integer)
        case .number(let number): number.description
        case .flag(let flag): String(flag)
        }
    }

    static func delimited(_ text: String, by quote: Unicode.Scalar) -> String {
        var result = String.UnicodeScalarView([quote])
        for scalar in text.unicodeScalars {
            let escape = PredicateSyntax.escapes.first { $0.meaning == scalar }
            // The other sorts of quotes stand for themselves.
            if let escape, scalar == quote || !["\"", "'", "`"].contains(scalar) {
                result.append("\\")
                result.append(escape.letter)
            } else {
                result.append(scalar)
            }
        }
        result.append(quote)
        return String(result)
    }
}

/// What the text of an expression is made of: shared by this rendering and by the lexer of StagewireConfig.
package enum PredicateSyntax {
    /// Words that are no attribute's name unless backquoted.
    package static let keywords: Set<String> = ["and", "or", "not", "exists", "in", "true", "false"]

    /// A letter behind a backslash, and what the two stand for.
    package static let escapes: [(letter: Unicode.Scalar, meaning: Unicode.Scalar)] = [
        ("\\", "\\"), ("\"", "\""), ("'", "'"), ("`", "`"), ("n", "\n"), ("r", "\r"), ("t", "\t"),
    ]

    package static func isDigit(_ scalar: Unicode.Scalar) -> Bool { ("0"..."9").contains(scalar) }

    package static func isNameStart(_ scalar: Unicode.Scalar) -> Bool {
        ("a"..."z").contains(scalar) || ("A"..."Z").contains(scalar) || scalar == "_"
    }

    package static func isNamePart(_ scalar: Unicode.Scalar) -> Bool {
        isNameStart(scalar) || isDigit(scalar) || scalar == "-" || scalar == "."
    }
}
