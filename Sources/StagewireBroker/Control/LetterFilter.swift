import Glibc
import StagewireControl
import StagewireModel
import StagewireRecord
import StagewireRouter

/// A `DeadLetterFilter`, understood: what is wrong with it is said once, and each letter is looked at quickly, for it is
/// done on the event loop.
struct LetterFilter {
    private var reason: Code?
    private var key: [UInt8]?
    private var schema: String?
    private var error: [UInt8]?
    /// Microseconds since 1970.
    private var after: Int64?
    private var before: Int64?
    private var attributes: [(name: String, value: String)] = []

    init(_ filter: DeadLetterFilter) throws(ControlProblem) {
        reason = try filter.reason.map { name throws(ControlProblem) in try Self.reason(name) }
        key = filter.key.map { Array($0.utf8) }
        schema = filter.schema
        error = filter.error.map { Array($0.utf8) }
        // Every message contains it; somebody's variable was empty, and must not select everything.
        guard error?.isEmpty != true else {
            throw ControlProblem(.badRequest, "error is empty", hint: "give a part of the message, or leave it out")
        }
        after = try filter.givenUpAfter.map { text throws(ControlProblem) in try Self.time(text, "given_up_after") }
        before = try filter.givenUpBefore.map { text throws(ControlProblem) in try Self.time(text, "given_up_before") }
        attributes = (filter.attributes ?? [:]).sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
        if let after, let before, after >= before {
            throw ControlProblem(
                .badRequest, "given_up_after is not before given_up_before, so no letter is meant",
                hint: "the first is the earlier moment")
        }
    }

    /// What costs least comes first.
    func matches(_ letter: DeadLetter) -> Bool {
        if let reason, letter.reason != reason { return false }
        let time = Int64(clamping: letter.time)
        if let after, time < after { return false }
        if let before, time >= before { return false }
        let record = letter.record.ref
        if let key, record.key != key { return false }
        if let schema, record.schema != schema { return false }
        for (name, value) in attributes {
            guard let found = record.attribute(name), Self.reads(found, value) else { return false }
        }
        guard let error else { return true }
        return Self.contains(letter.error.message, error)
    }

    /// Whether a value is written so. Numbers are compared as such: `7`, `7.0` and `7e0` are one.
    static func reads(_ value: AttributeValue, _ text: String) -> Bool {
        switch value {
        case .text(let own): own == text
        case .integer(let own): Int64(text).map { $0 == own } ?? (Double(text) == Double(own))
        case .number(let own): Double(text).map { $0 == own || $0.isNaN && own.isNaN } ?? false
        case .flag(let own): text == (own ? "true" : "false")
        }
    }

    /// - Precondition: the part is not empty
    static func contains(_ text: String, _ part: [UInt8]) -> Bool {
        var text = text
        return text.withUTF8 { bytes in
            guard var place = bytes.baseAddress, part.count <= bytes.count else { return false }
            // Where the part may begin at the latest.
            let last = place + (bytes.count - part.count)
            while place <= last, let found = memchr(place, Int32(part[0]), last - place + 1) {
                if memcmp(found, part, part.count) == 0 { return true }
                place = UnsafePointer(found.assumingMemoryBound(to: UInt8.self)) + 1
            }
            return false
        }
    }

    private static func time(_ text: String, _ name: String) throws(ControlProblem) -> Int64 {
        guard let time = Timestamp.microseconds(text) else {
            throw ControlProblem(
                .badRequest, "\(name) is no time: \(text)",
                hint: "write RFC 3339 in UTC: \(Timestamp.text(1_795_233_906_000_000))")
        }
        return time
    }

    private static func reason(_ name: String) throws(ControlProblem) -> Code {
        let reasons = Code.allCases.filter { $0.scope == .delivery }
        guard let reason = reasons.first(where: { $0.name == name.uppercased() }) else {
            throw ControlProblem(
                .badRequest, "there is no reason \(name)",
                hint: "there are \(reasons.map(\.name).joined(separator: ", "))")
        }
        return reason
    }
}

extension ControlRequest {
    /// The conditions among its parameters.
    func deadLetterFilter() throws(ControlProblem) -> DeadLetterFilter {
        var attributes: [String: String] = [:]
        for pair in self.attributes {
            guard let equals = pair.firstIndex(of: "="), equals != pair.startIndex else {
                throw ControlProblem(
                    .badRequest, "attribute is \(pair), which has no name and value",
                    hint: "write attribute=NAME%3DVALUE")
            }
            let name = String(pair[..<equals])
            guard attributes.updateValue(String(pair[pair.index(after: equals)...]), forKey: name) == nil else {
                throw ControlProblem(.badRequest, "the attribute \(name) stands twice, and it has one value only")
            }
        }
        return DeadLetterFilter(query: { query[$0] }, attributes: attributes)
    }
}
