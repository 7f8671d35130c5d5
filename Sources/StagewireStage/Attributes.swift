import StagewireModel

/// A scalar of a record's header: text, integer, number or flag.
public typealias AttributeValue = StagewireModel.AttributeValue

extension AttributeValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
    ExpressibleByBooleanLiteral
{
    public init(stringLiteral value: String) { self = .text(value) }
    public init(integerLiteral value: Int64) { self = .integer(value) }
    public init(floatLiteral value: Double) { self = .number(value) }
    public init(booleanLiteral value: Bool) { self = .flag(value) }
}

/// The named scalars of a header, in the order in which they were set. `when` expressions read them.
public struct Attributes: Equatable, Sendable, ExpressibleByDictionaryLiteral, Sequence {
    /// At most `Limits.attributes` of them pass the broker; a search through so few is quicker than hashing.
    private var entries: [(name: String, value: AttributeValue)] = []

    public init() {}

    /// Of two values with one name the first counts, as on the wire.
    public init(dictionaryLiteral elements: (String, AttributeValue)...) {
        for (name, value) in elements { append(name, value) }
    }

    public var count: Int { entries.count }
    public var isEmpty: Bool { entries.isEmpty }

    public subscript(name: String) -> AttributeValue? {
        get { entries.first { $0.name == name }?.value }
        set {
            let index = entries.firstIndex { $0.name == name }
            switch (index, newValue) {
            case (let index?, let value?): entries[index].value = value
            case (let index?, nil): entries.remove(at: index)
            case (nil, let value?): entries.append((name, value))
            case (nil, nil): break
            }
        }
    }

    /// Keeps the value that is there.
    mutating func append(_ name: String, _ value: AttributeValue) {
        if self[name] == nil { entries.append((name, value)) }
    }

    public func makeIterator() -> IndexingIterator<[(name: String, value: AttributeValue)]> { entries.makeIterator() }

    public static func == (a: Self, b: Self) -> Bool {
        a.entries.elementsEqual(b.entries) { $0.name == $1.name && $0.value == $1.value }
    }
}
