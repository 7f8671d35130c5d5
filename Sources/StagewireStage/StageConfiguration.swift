import Foundation

/// Why the stage's configuration does not fit the program. Ends the worker with exit code 2.
public struct ConfigurationError: Error, Equatable, CustomStringConvertible {
    public var description: String
    public init(_ description: String) { self.description = description }
}

enum StageConfiguration {
    /// An absent configuration is an empty object.
    static func decode<Value: Decodable>(_ type: Value.Type, from json: [UInt8]) throws -> Value {
        do {
            return try JSONDecoder().decode(type, from: Data(json.isEmpty ? Array("{}".utf8) : json))
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
