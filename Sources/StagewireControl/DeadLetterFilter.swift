/// Which dead letters are meant: those for which every condition holds that is given.
///
/// As parameters of a request's target the conditions have the same names; `attribute` stands there once for each
/// attribute, as `NAME=VALUE`.
public struct DeadLetterFilter: Codable, Equatable, Sendable {
    /// The name of a code, in capitals or not: `REJECTED`.
    public var reason: String?
    /// The whole key, as text. Empty: those without a key.
    public var key: String?
    /// The schema's name, whatever its version. Empty: those without a schema.
    public var schema: String?
    /// What the error's message contains, letter by letter.
    public var error: String?
    /// When they were given up on: at this moment or later, and before this one. RFC 3339 in UTC, as `Timestamp` writes it;
    /// the fraction may be shorter or absent.
    public var givenUpAfter: String?
    public var givenUpBefore: String?
    /// Values of attributes by name, as text: `high`, `7`, `0.5`, `true`.
    public var attributes: [String: String]?

    public init(
        reason: String? = nil, key: String? = nil, schema: String? = nil, error: String? = nil,
        givenUpAfter: String? = nil, givenUpBefore: String? = nil, attributes: [String: String]? = nil
    ) {
        self.reason = reason
        self.key = key
        self.schema = schema
        self.error = error
        self.givenUpAfter = givenUpAfter
        self.givenUpBefore = givenUpBefore
        self.attributes = attributes
    }

    /// Nothing is asked for: all letters match.
    public var isEmpty: Bool {
        var other = self
        if attributes?.isEmpty == true { other.attributes = nil }
        return other == DeadLetterFilter()
    }

    private enum CodingKeys: String, CodingKey, CaseIterable {
        case reason, key, schema, error, attributes
        case givenUpAfter = "given_up_after"
        case givenUpBefore = "given_up_before"
    }

    /// The names of its conditions in JSON.
    public static let keys = CodingKeys.allCases.map(\.rawValue)

    // MARK: Parameters

    /// The name of the parameter that may stand several times.
    public static let attributeParameter = "attribute"

    /// The names of its conditions as parameters.
    public static let parameters =
        keys.filter { $0 != CodingKeys.attributes.rawValue } + [attributeParameter]

    /// Names and values, not yet percent-encoded; attributes in the order of their names.
    public var query: [(name: String, value: String)] {
        let single: [(CodingKeys, String?)] = [
            (.reason, reason), (.key, key), (.schema, schema), (.error, error), (.givenUpAfter, givenUpAfter),
            (.givenUpBefore, givenUpBefore),
        ]
        let several = (attributes ?? [:]).sorted { $0.key < $1.key }
        return single.compactMap { name, value in value.map { (name.rawValue, $0) } }
            + several.map { (Self.attributeParameter, "\($0.key)=\($0.value)") }
    }

    /// - Parameters:
    ///   - value: of the parameter with that name.
    ///   - attributes: the values of `attribute`, each with an equals sign.
    public init(query value: (String) -> String?, attributes: [String: String]) {
        self.init(
            reason: value(CodingKeys.reason.rawValue), key: value(CodingKeys.key.rawValue),
            schema: value(CodingKeys.schema.rawValue), error: value(CodingKeys.error.rawValue),
            givenUpAfter: value(CodingKeys.givenUpAfter.rawValue),
            givenUpBefore: value(CodingKeys.givenUpBefore.rawValue), attributes: attributes.isEmpty ? nil : attributes)
    }
}
