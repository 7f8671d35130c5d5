import Foundation
import NIOHTTP1
import StagewireControl

/// One request, taken apart.
struct ControlRequest {
    var method: HTTPMethod
    /// Between the slashes, percent-decoded: `["v1", "status"]`.
    var path: [String]
    /// Percent-decoded; a name stands once.
    var query: [String: String] = [:]
    /// The values of the one parameter that may stand several times.
    var attributes: [String] = []
    var head: HTTPRequestHead
    var body: [UInt8]

    init(head: HTTPRequestHead, body: [UInt8]) throws(ControlProblem) {
        self.head = head
        self.body = body
        method = head.method
        guard head.uri.hasPrefix("/") else {
            throw ControlProblem(.badRequest, "the request's target does not begin with a slash")
        }
        let parts = head.uri.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        path = []
        for segment in parts[0].split(separator: "/") { path.append(try Self.decoded(segment)) }
        guard parts.count == 2 else { return }
        for pair in parts[1].split(separator: "&") { try add(pair) }
    }

    private mutating func add(_ pair: Substring) throws(ControlProblem) {
        let halves = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let name = try Self.decoded(halves[0])
        guard halves.count == 2 else {
            throw ControlProblem(.badRequest, "the parameter \(name) has no value", hint: "write \(name)=VALUE")
        }
        if name == DeadLetterFilter.attributeParameter { return attributes.append(try Self.decoded(halves[1])) }
        guard query[name] == nil else { throw ControlProblem(.badRequest, "the parameter \(name) stands twice") }
        query[name] = try Self.decoded(halves[1])
    }

    private static func decoded(_ text: Substring) throws(ControlProblem) -> String {
        guard let decoded = String(text).removingPercentEncoding else {
            throw ControlProblem(.badRequest, "the path or a parameter is not percent-encoded UTF-8: \(text)")
        }
        return decoded
    }

    /// A misspelt parameter would silently select more than was meant.
    func allowOnly(_ names: [String]) throws(ControlProblem) {
        let given = query.keys.sorted() + (attributes.isEmpty ? [] : [DeadLetterFilter.attributeParameter])
        for name in given where !names.contains(name) {
            throw ControlProblem(
                .badRequest, "there is no parameter \(name) here",
                hint: names.isEmpty ? "there are none" : "there are \(names.joined(separator: ", "))")
        }
    }

    func number(_ name: String) throws(ControlProblem) -> UInt64? {
        guard let text = query[name] else { return nil }
        guard let number = UInt64(text) else {
            throw ControlProblem(.badRequest, "the parameter \(name) is not a whole number: \(text)")
        }
        return number
    }

    // MARK: The body

    /// The body as one JSON object with no other keys than `keys`.
    func decode<Value: Decodable>(_ type: Value.Type, keys: [String]) throws(ControlProblem) -> Value {
        let mediaType = head.headers["content-type"].first?.lowercased().split(separator: ";").first ?? ""
        guard mediaType.trimmingCharacters(in: .whitespaces) == "application/json" else {
            throw ControlProblem(
                .unsupportedMediaType, "the request's body is not declared to be JSON",
                hint: "send the header field Content-Type: application/json")
        }
        do {
            let found = try ControlJSON.decode(Keys.self, from: body).names
            // As with parameters: a key that is not understood must not be passed over.
            if let unknown = found.sorted().first(where: { !keys.contains($0) }) {
                throw ControlProblem(
                    .badRequest, "there is no key \(unknown) here", hint: "there are \(keys.joined(separator: ", "))")
            }
            return try ControlJSON.decode(type, from: body)
        } catch let problem as ControlProblem {
            throw problem
        } catch {
            throw ControlProblem(.badRequest, "the request's body is not right: \(explain(error))")
        }
    }

    /// The names in an object, whatever they are.
    private struct Keys: Decodable {
        var names: [String]

        private struct Name: CodingKey {
            var stringValue: String
            var intValue: Int? { nil }
            init(stringValue: String) { self.stringValue = stringValue }
            init?(intValue: Int) { nil }
        }

        init(from decoder: any Decoder) throws {
            names = try decoder.container(keyedBy: Name.self).allKeys.map(\.stringValue)
        }
    }

    private func explain(_ error: any Error) -> String {
        guard let error = error as? DecodingError else { return "\(error)" }
        switch error {
        case .keyNotFound(let key, _): return "the key \(key.stringValue) is missing"
        case .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context):
            let place = context.codingPath.reduce("") { $0 + ($1.intValue.map { "[\($0)]" } ?? $1.stringValue) }
            return place.isEmpty ? syntaxError() ?? context.debugDescription : "\(place): \(context.debugDescription)"
        @unknown default: return "\(error)"
        }
    }

    /// `JSONDecoder` says only that something is wrong; Foundation's other parser says where.
    private func syntaxError() -> String? {
        do {
            _ = try JSONSerialization.jsonObject(with: Data(body), options: .fragmentsAllowed)
            return nil
        } catch {
            return (error as? CocoaError)?.userInfo["NSDebugDescription"] as? String
        }
    }
}
