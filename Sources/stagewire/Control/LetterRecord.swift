import Foundation
import StagewireControl
import StagewireModel
import StagewireStage

/// A dead letter's record in the form in which stages take records as text: docs/RECORD_JSON.md.
struct LetterRecord {
    var letter: DeadLetterDetail

    /// One JSON object on one line, without the line break. `attempt` is that of the last delivery.
    var line: [UInt8] { RecordJSON.write(output, lineage: lineage, attempt: max(1, Int(letter.letter.attempts))) }

    private var output: StagewireStage.Output {
        var output = StagewireStage.Output(payload: Data(base64Encoded: letter.payloadBase64) ?? Data())
        output.key = letter.keyBase64.flatMap { Data(base64Encoded: $0) }.map(Array.init) ?? []
        output.schema = letter.letter.schema
        output.schemaVersion = letter.letter.schemaVersion
        output.contentType = letter.contentType
        output.eventTime = letter.eventMicroseconds ?? letter.eventTime.map(Self.microseconds) ?? 0
        // Of two with one name the first counts.
        for attribute in letter.attributes where output.attributes[attribute.name] == nil {
            output.attributes[attribute.name] = Self.value(attribute.value)
        }
        return output
    }

    private var lineage: Lineage {
        var lineage = Lineage()
        (lineage.id, lineage.root, lineage.parents) = (letter.letter.id, letter.root, letter.parents)
        lineage.isTruncated = letter.hasMoreParents
        lineage.trace = letter.trace.map { TraceContext(traceparent: $0.traceparent, tracestate: $0.tracestate) }
        lineage.ingestTime = letter.ingestTime.map(Self.microseconds) ?? 0
        lineage.hops = letter.hops.map { hop in
            // Its number is the broker's own affair and nowhere in this form.
            let run = StagewireModel.Run(
                number: 0, stage: hop.stage, version: hop.version, instance: hop.instance, language: hop.language)
            return Lineage.Hop(run: run, time: Self.microseconds(hop.time), attempt: Int(hop.attempt))
        }
        return lineage
    }

    private static func microseconds(_ text: String) -> Int64 { StagewireStage.Timestamp.parse(text) ?? 0 }

    private static func value(_ value: DeadLetterDetail.Value) -> AttributeValue {
        switch value {
        case .text(let text): .text(text)
        case .integer(let integer): .integer(integer)
        case .number(let number): .number(number)
        case .flag(let flag): .flag(flag)
        }
    }
}
