/// A scalar of a record's header, or a literal of a `when` expression.
public enum AttributeValue: Equatable, Sendable {
    case text(String)
    case integer(Int64)
    case number(Double)
    case flag(Bool)
}

/// A `when` expression over header attributes. A comparison with an absent attribute, or between
/// values of different kinds (integers and doubles compare as numbers), is false; so `not (a == 1)`
/// holds where `a` is absent, and `exists a` tells the difference.
public indirect enum Predicate: Equatable, Sendable {
    public enum Comparison: String, Sendable, CaseIterable {
        case equal = "=="
        case notEqual = "!="
        case less = "<"
        case lessOrEqual = "<="
        case greater = ">"
        case greaterOrEqual = ">="
    }

    case compare(String, Comparison, AttributeValue)
    case isIn(String, [AttributeValue])
    case exists(String)
    case not(Predicate)
    case and(Predicate, Predicate)
    case or(Predicate, Predicate)

    /// Whether a record matches; `attribute` looks up a header attribute by name.
    public func matches(_ attribute: (String) -> AttributeValue?) -> Bool {
        switch self {
        case .compare(let name, let comparison, let literal):
            guard let value = attribute(name) else { return false }
            return value.compares(comparison, to: literal)
        case .isIn(let name, let literals):
            guard let value = attribute(name) else { return false }
            return literals.contains { value.compares(.equal, to: $0) }
        case .exists(let name): return attribute(name) != nil
        case .not(let inner): return !inner.matches(attribute)
        case .and(let a, let b): return a.matches(attribute) && b.matches(attribute)
        case .or(let a, let b): return a.matches(attribute) || b.matches(attribute)
        }
    }
}

extension AttributeValue {
    func compares(_ comparison: Predicate.Comparison, to other: AttributeValue) -> Bool {
        switch (self, other) {
        case (.text(let a), .text(let b)): comparison.holds(a, b)
        case (.integer(let a), .integer(let b)): comparison.holds(a, b)
        case (.number(let a), .number(let b)): comparison.holds(a, b)
        case (.integer(let a), .number(let b)): comparison.holds(Double(a), b)
        case (.number(let a), .integer(let b)): comparison.holds(a, Double(b))
        case (.flag(let a), .flag(let b)):
            switch comparison {
            case .equal: a == b
            case .notEqual: a != b
            case .less, .lessOrEqual, .greater, .greaterOrEqual: false
            }
        case (.text, _), (.integer, _), (.number, _), (.flag, _): false
        }
    }
}

extension Predicate.Comparison {
    func holds<T: Comparable>(_ a: T, _ b: T) -> Bool {
        switch self {
        case .equal: a == b
        case .notEqual: a != b
        case .less: a < b
        case .lessOrEqual: a <= b
        case .greater: a > b
        case .greaterOrEqual: a >= b
        }
    }
}
