import ArgumentParser
import Foundation
import StagewireConfig
import StagewireControl
import StagewireModel
import StagewireStage

/// The conditions by which dead letters are chosen; given together, all of them hold.
struct LetterConditions: ParsableArguments {
    @Option(help: "Only those with this reason, such as REJECTED or ATTEMPTS_EXHAUSTED.")
    var reason: String?

    @Option(help: "Only those with this key; an empty one: those without a key.")
    var key: String?

    @Option(help: "Only those of this schema, whatever its version.")
    var schema: String?

    @Option(help: ArgumentHelp("Only those whose error's message contains this.", valueName: "text"))
    var error: String?

    @Option(
        name: .customLong("attribute"),
        help: ArgumentHelp("Only those with this attribute; may be given several times.", valueName: "name=value"),
        transform: LetterAttribute.parse)
    var attributes: [LetterAttribute] = []

    @Option(
        help: ArgumentHelp(
            "Only those given up on at this time or later: 2026-11-21T05:06:45Z, or 10m for ten minutes ago.",
            valueName: "time"))
    var after: PointInTime?

    @Option(help: ArgumentHelp("Only those given up on before this time.", valueName: "time"))
    var before: PointInTime?

    func validate() throws {
        guard error != "" else { throw ValidationError("--error is empty: every message contains that.") }
        var names: Set<String> = []
        for attribute in attributes where !names.insert(attribute.name).inserted {
            throw ValidationError("--attribute \(attribute.name) is given twice, and an attribute has one value.")
        }
        if let after, let before, after.microseconds >= before.microseconds {
            throw ValidationError("--after is not before --before, so no dead letter is meant.")
        }
    }

    var filter: DeadLetterFilter {
        DeadLetterFilter(
            reason: reason, key: key, schema: schema, error: error, givenUpAfter: after?.text,
            givenUpBefore: before?.text,
            attributes: attributes.isEmpty
                ? nil : Dictionary(attributes.map { ($0.name, $0.value) }) { first, _ in first })
    }
}

/// `level=high`
struct LetterAttribute: Equatable {
    var name: String
    var value: String

    /// For `@Option(transform:)`.
    static func parse(_ text: String) throws -> LetterAttribute {
        guard let equals = text.firstIndex(of: "="), equals != text.startIndex else {
            throw ValidationError("'\(text)' is no attribute. Write NAME=VALUE, such as level=high.")
        }
        return LetterAttribute(name: String(text[..<equals]), value: String(text[text.index(after: equals)...]))
    }
}

/// A moment on the command line: RFC 3339, or a duration as in the pipeline file, which is so long ago.
struct PointInTime: ExpressibleByArgument, Equatable {
    /// Since 1970.
    var microseconds: Int64

    init?(argument: String) { self.init(argument, now: Date()) }

    init?(_ text: String, now: Date) {
        if let moment = StagewireStage.Timestamp.parse(text) {
            microseconds = moment
        } else if let ago = Quantity.duration(text) {
            microseconds = Int64(now.timeIntervalSince1970 * 1_000_000) - Int64(clamping: ago.nanoseconds / 1000)
        } else {
            return nil
        }
    }

    /// As the API takes it.
    var text: String { StagewireControl.Timestamp.text(microseconds) }
}
