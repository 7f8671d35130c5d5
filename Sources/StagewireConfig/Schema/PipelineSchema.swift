/// The JSON Schema of `pipeline.yaml`, out of the tables that the reader reads by. Editors complete and check with it.
///
/// It never refuses what the reader accepts; names, relations between values and sums are the reader's.
public enum PipelineSchema {
    /// Names the schema, not a place.
    static let identifier = "urn:stagewire:pipeline:1"

    public static var document: JSONValue {
        JSONValue.object([
            .init("$schema", "https://json-schema.org/draft/2020-12/schema"), .init("$id", .string(identifier)),
            .init("title", "pipeline.yaml of Stagewire"),
        ]).adding(JSONValue.mapping(of: PipelineKeys.all).members)
            .adding([.init("$defs", ["stage": StageKeys.schema, "input": InputsForm.input])])
    }

    /// The document as `stagewire schema` prints it, without a line break at the end.
    public static var text: String { document.text }
}

extension JSONValue {
    fileprivate var members: [Member] {
        if case .object(let members) = self { return members }
        return []
    }
}
