import StagewireModel

extension Predicate {
    /// Reads a `when` expression:
    ///
    ///     either     = both { "or" both }
    ///     both       = unary { "and" unary }
    ///     unary      = "not" unary | "(" either ")" | "exists" name | name comparison literal | name "in" list
    ///     comparison = "==" | "!=" | "<" | "<=" | ">" | ">="
    ///     list       = "[" literal { "," literal } "]"
    ///     literal    = text | integer | number | "true" | "false"
    public init(parsing text: String) throws(PredicateError) {
        var parser = PredicateParser(tokens: try PredicateLexer.tokens(text))
        self = try parser.expression()
    }
}

/// Recursive descent over the grammar above; `index` never passes the `end` token.
struct PredicateParser {
    private let tokens: [PredicateToken]
    private var index = 0
    private var nesting = 0

    init(tokens: [PredicateToken]) {
        precondition(tokens.last?.kind == .end, "tokens end with an end")
        self.tokens = tokens
    }

    private var current: PredicateToken { tokens[index] }

    private mutating func advance() { index = min(index + 1, tokens.count - 1) }

    private mutating func take(_ kind: PredicateToken.Kind) -> Bool {
        guard current.kind == kind else { return false }
        advance()
        return true
    }

    private func failure(_ expected: String, hint: String? = nil) -> PredicateError {
        let found = current.kind == .end ? "the end" : quoted(current.text)
        return PredicateError(current.offset, "expected \(expected), found \(found)", hint: hint)
    }

    mutating func expression() throws(PredicateError) -> Predicate {
        if tokens.count == 1 { throw PredicateError(0, "the expression is empty") }
        let predicate = try either()
        guard current.kind == .end else { throw failure("`and`, `or` or the end") }
        return predicate
    }

    private mutating func either() throws(PredicateError) -> Predicate {
        var predicate = try both()
        while take(.or) { predicate = .or(predicate, try both()) }
        return predicate
    }

    private mutating func both() throws(PredicateError) -> Predicate {
        var predicate = try unary()
        while take(.and) { predicate = .and(predicate, try unary()) }
        return predicate
    }

    private mutating func unary() throws(PredicateError) -> Predicate {
        guard nesting < PredicateLimits.nesting else {
            throw PredicateError(current.offset, "nested deeper than \(PredicateLimits.nesting) levels")
        }
        nesting += 1
        defer { nesting -= 1 }
        if take(.not) { return .not(try unary()) }
        if take(.open) {
            let predicate = try either()
            guard take(.close) else { throw failure("`)`, `and` or `or`") }
            return predicate
        }
        if take(.exists) { return .exists(try name()) }
        let name = try name()
        if take(.isIn) { return .isIn(name, try list()) }
        return try comparison(of: name)
    }

    private mutating func name() throws(PredicateError) -> String {
        guard case .name(let name) = current.kind else {
            guard case .literal = current.kind else { throw failure("an attribute's name") }
            throw failure(
                "an attribute's name",
                hint: "the attribute stands on the left; an unusual name stands in backquotes, not in quotes")
        }
        advance()
        return name
    }

    private mutating func comparison(of name: String) throws(PredicateError) -> Predicate {
        guard case .comparison(let comparison) = current.kind else {
            throw failure(
                "a comparison or `in` behind \(quoted(name))",
                hint: "to ask whether a flag is set, write `\(name) == true`; whether it is there, `exists \(name)`")
        }
        advance()
        let offset = current.offset
        let literal = try literal()
        if case .flag = literal, comparison != .equal, comparison != .notEqual {
            throw PredicateError(offset, "`true` and `false` have no order", hint: "write `==` or `!=`")
        }
        return .compare(name, comparison, literal)
    }

    private mutating func list() throws(PredicateError) -> [AttributeValue] {
        guard take(.openList) else { throw failure("a list in brackets behind `in`") }
        var literals = [try literal()]
        while take(.comma) {
            guard literals.count < PredicateLimits.list else {
                throw PredicateError(current.offset, "a list has at most \(PredicateLimits.list) values")
            }
            literals.append(try literal())
        }
        guard take(.closeList) else { throw failure("`,` or `]`") }
        return literals
    }

    private mutating func literal() throws(PredicateError) -> AttributeValue {
        switch current.kind {
        case .literal(let value):
            advance()
            return value
        case .name(let name):
            let isNull = ["null", "nil", "none", "None"].contains(name)
            throw failure(
                "a value",
                hint: isNull
                    ? "to ask whether an attribute is there, write `exists <name>`" : "a text needs quotes: \"\(name)\""
            )
        case .comparison, .and, .or, .not, .exists, .isIn, .open, .close, .openList, .closeList, .comma, .end:
            throw failure("a text, a number, `true` or `false`")
        }
    }
}
