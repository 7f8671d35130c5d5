import Foundation

/// Why the stage's configuration does not fit the program. Ends the worker with exit code 2.
public struct ConfigurationError: Error, Equatable, CustomStringConvertible {
    public var description: String
    public init(_ description: String) { self.description = description }
}

/// The stage's configuration as it stands in the pipeline, not decoded: for stages that hand it on, or read it with a
/// decoder of their own. Stands where a type of yours would: `configuration: RawConfiguration.self`.
public struct RawConfiguration: Decodable, Equatable, Sendable {
    /// One JSON value, byte for byte as the broker sent it; `{}` when the pipeline has none.
    public let json: [UInt8]

    init(json: [UInt8]) { self.json = json }

    /// `Decodable` in name only, for a decoder has no bytes to give.
    public init(from decoder: any Decoder) throws {
        throw DecodingError.dataCorrupted(
            .init(
                codingPath: decoder.codingPath,
                debugDescription: "RawConfiguration is the whole configuration, not a part of one"))
    }
}

enum StageConfiguration {
    /// An absent configuration is an empty object.
    static func decode<Value: Decodable>(_ type: Value.Type, from json: [UInt8]) throws -> Value {
        let json = json.isEmpty ? Array("{}".utf8) : json
        if let raw = RawConfiguration(json: json) as? Value { return raw }
        do {
            return try JSONDecoder().decode(type, from: Data(json))
        } catch let error as DecodingError {
            throw ConfigurationError(
                "the stage's `config` in the pipeline does not fit this program: \(DecodingText.describe(error))")
        } catch {
            throw ConfigurationError("the stage's `config` in the pipeline does not fit this program: \(error)")
        }
    }
}

/// What `Decodable` complains about, in one sentence that names the field.
enum DecodingText {
    static func describe(_ error: any Error) -> String {
        guard let error = error as? DecodingError else { return "\(error)" }
        switch error {
        case .typeMismatch(let type, let context):
            return "\(path(context.codingPath)) has to be \(name(type))"
        case .valueNotFound(let type, let context):
            return "\(path(context.codingPath)) is null, where \(name(type)) is needed"
        case .keyNotFound(let key, let context):
            return "\(path(context.codingPath + [key])) is missing"
        case .dataCorrupted(let context):
            let place = context.codingPath.isEmpty ? "" : path(context.codingPath) + ": "
            return place + context.debugDescription
        @unknown default: return "\(error)"
        }
    }

    /// `retry.delays[2]`
    static func path(_ keys: [any CodingKey]) -> String {
        guard !keys.isEmpty else { return "the whole" }
        var path = ""
        for key in keys {
            if let index = key.intValue {
                path += "[\(index)]"
            } else {
                path += (path.isEmpty ? "" : ".") + key.stringValue
            }
        }
        return "`\(path)`"
    }

    private static func name(_ type: Any.Type) -> String {
        switch type {
        case is String.Type: "a text"
        case is Bool.Type: "true or false"
        case is any BinaryInteger.Type: "a whole number"
        case is any BinaryFloatingPoint.Type: "a number"
        default:
            "\(type)".hasPrefix("Array")
                ? "a list" : "\(type)".hasPrefix("Dictionary") ? "an object" : "of type \(type)"
        }
    }
}
