/// Why a `when` expression cannot be read.
public struct PredicateError: Error, Equatable, Sendable {
    /// Unicode scalars in front of the place in question.
    public var offset: Int
    public var message: String
    /// What to write instead, where that can be said.
    public var hint: String?

    init(_ offset: Int, _ message: String, hint: String? = nil) {
        self.offset = offset
        self.message = message
        self.hint = hint
    }
}

/// Bounds of a `when` expression: it is evaluated for every record.
enum PredicateLimits {
    /// Bytes of the text.
    static let length = 4096
    /// Parentheses and `not`s around one comparison.
    static let nesting = 64
    /// Literals of one `in`.
    static let list = 256
}
