import Foundation
import StagewireModel

extension RecordJSON {
    /// What an author wrote. What the broker adds (`lineage`, `attempt`, `input`) is ignored; any other unknown
    /// field is an error, so that a misspelt one does not vanish.
    ///
    /// - Parameter line: one JSON object; white space around it is allowed.
    public static func read(_ line: [UInt8]) throws(Malformed) -> Output {
        let node: JSONNode
        do {
            // A first pass that keeps half surrogates tells where `json` stands; it may hold them.
            node = try JSONScanner.read(line, texts: false)
        } catch {
            throw Malformed(description: "no JSON: \(error)")
        }
        guard case .object(let members) = node.content else { throw Malformed(description: "no JSON object") }
        var output = Output()
        var seen: Set<String> = []
        for (name, value) in members {
            guard seen.insert(name).inserted else { throw Malformed(description: "`\(name)` stands there twice") }
            try Member(name: name, node: value, line: line).apply(to: &output)
        }
        guard seen.intersection(["json", "text", "base64"]).count <= 1 else {
            throw Malformed(description: "a payload is one of `json`, `text` and `base64`")
        }
        guard !seen.isSuperset(of: ["key", "key_base64"]) else {
            throw Malformed(description: "a key is one of `key` and `key_base64`")
        }
        if seen.contains("json"), output.contentType.isEmpty { output.contentType = "application/json" }
        return output
    }

    static let authored = [
        "json", "text", "base64", "key", "key_base64", "schema", "schema_version", "content_type", "event_time",
        "attributes", "port",
    ]
}

/// One member of a record's object.
private struct Member {
    let name: String
    let node: JSONNode
    let line: [UInt8]

    func apply(to output: inout Output) throws(RecordJSON.Malformed) {
        switch name {
        case "json": output.payload = JSONText.compact(line, node.range)
        case "text": output.payload = Array(try text().utf8)
        case "base64": output.payload = try base64()
        case "key": output.key = Array(try text().utf8)
        case "key_base64": output.key = try base64()
        case "schema": output.schema = try text()
        case "schema_version": output.schemaVersion = try version()
        case "content_type": output.contentType = try text()
        case "event_time": output.eventTime = try time()
        case "attributes": output.attributes = try attributes()
        case "port": output.port = try text()
        case "lineage", "attempt", "input": break
        default:
            throw RecordJSON.Malformed(
                description: "no field `\(name)` is known; there are \(RecordJSON.authored.joined(separator: ", "))")
        }
    }

    private func fault(_ needed: String) -> RecordJSON.Malformed {
        RecordJSON.Malformed(description: "`\(name)` has to be \(needed)")
    }

    private var digits: String { String(decoding: line[node.range], as: UTF8.self) }

    /// Decoded strictly: half of a surrogate pair is an error here.
    private func text() throws(RecordJSON.Malformed) -> String {
        guard case .text = node.content else { throw fault("a text") }
        return try Self.strict(line, node.range, name)
    }

    static func strict(_ line: [UInt8], _ range: Range<Int>, _ name: String) throws(RecordJSON.Malformed) -> String {
        do {
            if case .text(let text) = try JSONScanner.read(Array(line[range])).content { return text }
        } catch {
            throw RecordJSON.Malformed(description: "`\(name)`: \(error.problem)")
        }
        throw RecordJSON.Malformed(description: "`\(name)` has to be a text")
    }

    private func base64() throws(RecordJSON.Malformed) -> [UInt8] {
        guard let data = Data(base64Encoded: try text()) else { throw fault("base64 with padding (RFC 4648)") }
        return Array(data)
    }

    private func version() throws(RecordJSON.Malformed) -> UInt32 {
        guard case .number = node.content, let version = UInt32(digits) else {
            throw fault("a whole number from 0 to \(UInt32.max)")
        }
        return version
    }

    private func time() throws(RecordJSON.Malformed) -> Int64 {
        if case .number = node.content, let microseconds = Int64(digits) { return microseconds }
        if case .text = node.content, let time = Timestamp.parse(try text()) { return time }
        throw fault("a time such as 2026-01-05T10:30:00Z, or whole microseconds since 1970")
    }

    private func attributes() throws(RecordJSON.Malformed) -> Attributes {
        guard case .object(let members) = node.content else { throw fault("an object") }
        var attributes = Attributes()
        for (attribute, value) in members {
            guard attributes[attribute] == nil else {
                throw RecordJSON.Malformed(description: "attribute `\(attribute)` stands there twice")
            }
            attributes[attribute] = try Member(name: "attributes.\(attribute)", node: value, line: line).attribute()
        }
        return attributes
    }

    /// A number without fraction and exponent that fits 64 bits is an integer, any other a number.
    private func attribute() throws(RecordJSON.Malformed) -> AttributeValue {
        switch node.content {
        case .flag(let flag): return .flag(flag)
        case .text: return .text(try text())
        case .number:
            if let integer = Int64(digits) { return .integer(integer) }
            guard let number = Double(digits), number.isFinite else { throw fault("a number that a double can hold") }
            return .number(number)
        case .null, .list, .object: throw fault("a text, a number, true or false")
        }
    }
}
