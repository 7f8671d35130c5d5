import Foundation
import Testing

/// What a command printed with `--json`, held against the shape that all commands share.
struct PrintedEnvelope {
    let command: String
    let isOK: Bool
    let result: [String: Any]
    /// When the result is a list.
    let list: [[String: Any]]
    let errors: [[String: Any]]

    var codes: [String] { errors.compactMap { $0["code"] as? String } }

    init(_ text: String, _ location: SourceLocation = #_sourceLocation) throws {
        let object = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
        let envelope = try #require(object, sourceLocation: location)
        #expect(envelope["stagewire"] is String, sourceLocation: location)
        command = try #require(envelope["command"] as? String, sourceLocation: location)
        isOK = try #require(envelope["ok"] as? Bool, sourceLocation: location)
        result = envelope["result"] as? [String: Any] ?? [:]
        list = envelope["result"] as? [[String: Any]] ?? []
        errors = envelope["errors"] as? [[String: Any]] ?? []
        #expect(isOK == errors.isEmpty, "a failure has errors, a success has none", sourceLocation: location)
    }

    /// A stage of the summary.
    func stage(_ name: String) -> [String: Any] {
        (result["stages"] as? [[String: Any]])?.first { $0["name"] as? String == name } ?? [:]
    }
}
