/// How a value is written: what the reader accepts, and the same for the documentation and the JSON Schema.
///
/// The schema never refuses what the reader accepts; the reader sees more (relations, names, sums).
protocol Form<Result>: Sendable {
    associatedtype Result
    /// What the column "type" of the documentation says.
    var type: String { get }
    var schema: JSONValue { get }
    /// `nil` after reporting why; `what` begins the sentence.
    func read(_ value: Value, _ what: String, _ reader: inout Reader) -> Result?
}

/// A form whose results can be written into a file again.
protocol WritableForm: Form {
    func written(_ result: Result) -> JSONValue
}

/// What a text, a name or a path may be in YAML: `5` and `true` are texts where a text is expected.
let scalarTypes: JSONValue = ["string", "number", "boolean"]

/// A form of one place: its reader is a method of `Reader`.
struct CustomForm<Result>: Form {
    let type: String
    let schema: JSONValue
    private let body: @Sendable (inout Reader, Value) -> Result?

    init(_ type: String, _ schema: JSONValue, _ body: @escaping @Sendable (inout Reader, Value) -> Result?) {
        (self.type, self.schema, self.body) = (type, schema, body)
    }

    func read(_ value: Value, _ what: String, _ reader: inout Reader) -> Result? { body(&reader, value) }
}

/// A mapping with a table of keys; `body` reads them.
struct MappingForm<Result>: Form {
    let type: String
    let keys: [any KeyRow]
    /// Keys that are needed though they are not `required` in the table, and relations between keys.
    let relations: [JSONValue.Member]
    private let body: @Sendable (inout Reader, Fields) -> Result?

    init(
        _ type: String = "mapping", keys: [any KeyRow], relations: [JSONValue.Member] = [],
        _ body: @escaping @Sendable (inout Reader, Fields) -> Result?
    ) {
        (self.type, self.keys, self.relations, self.body) = (type, keys, relations, body)
    }

    var schema: JSONValue { JSONValue.mapping(of: keys).adding(relations) }

    func read(_ value: Value, _ what: String, _ reader: inout Reader) -> Result? {
        reader.fields(value, what, known: keys).flatMap { body(&reader, $0) }
    }
}

extension JSONValue {
    /// An object with these keys and no others.
    static func mapping(of keys: [any KeyRow]) -> JSONValue {
        let required = keys.filter { $0.standard == .required }.map { JSONValue.string($0.name) }
        var members: [Member] = [
            Member("type", "object"), Member("additionalProperties", false),
            Member("properties", .object(keys.map { Member($0.name, $0.schema) })),
        ]
        if !required.isEmpty { members.append(Member("required", .array(required))) }
        return .object(members)
    }
}
