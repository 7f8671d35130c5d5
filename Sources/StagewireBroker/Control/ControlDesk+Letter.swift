import FoundationEssentials
import StagewireControl
import StagewireModel
import StagewireRecord
import StagewireRouter
import StagewireWire

/// A dead letter as the API shows it.
extension ControlDesk {
    func summary(_ letter: DeadLetter, stage: Int) -> DeadLetterSummary {
        let input = pipeline.stages[stage].inputs[letter.input]
        let from = pipeline.stages[input.stage]
        let record = letter.record.ref
        let key = record.key
        return DeadLetterSummary(
            stage: pipeline.stages[stage].name, number: letter.number, input: from.name, port: from.ports[input.port],
            id: record.id.description, reason: letter.reason.name, attempts: letter.attempts,
            error: Self.failure(letter.error),
            time: Timestamp.text(Int64(clamping: letter.time)), key: key.isEmpty ? nil : Self.text(key),
            schema: record.schema, schemaVersion: record.schemaVersion, payloadBytes: record.payloadLength,
            isRetrying: letter.isRetrying)
    }

    static func failure(_ error: DeliveryError) -> DeadLetterSummary.Failure {
        DeadLetterSummary.Failure(code: error.code, name: Code(rawValue: error.code)?.name, message: error.message)
    }

    func detail(_ letter: DeadLetter, stage: Int) -> DeadLetterDetail {
        let record = letter.record.ref
        let (key, payload) = (record.key, record.payload)
        return DeadLetterDetail(
            letter: summary(letter, stage: stage), contentType: record.contentType,
            eventTime: record.eventTime == 0 ? nil : Timestamp.text(record.eventTime),
            eventMicroseconds: record.eventTime == 0 ? nil : record.eventTime,
            keyBase64: key.isEmpty ? nil : Data(key).base64EncodedString(),
            attributes: record.attributes().map { .init(name: $0.name, value: Self.value($0.value)) },
            payloadBase64: Data(payload).base64EncodedString(),
            payloadText: payload.count <= DeadLetterDetail.textLimit ? Self.text(payload) : nil,
            parents: record.parentIDs().map(\.description), hasMoreParents: record.hasMoreParents,
            root: record.root.description, trace: Self.trace(record.trace),
            ingestTime: record.ingestTime == 0 ? nil : Timestamp.text(Int64(clamping: record.ingestTime)),
            hops: record.hops().map(hop))
    }

    private func hop(_ hop: RecordHop) -> DeadLetterDetail.Hop {
        // Every hop in memory was stamped by a worker of this run of the broker.
        let run = router.run(hop.run)
        return DeadLetterDetail.Hop(
            stage: run?.stage ?? "", version: run?.version ?? "", instance: run?.instance ?? "",
            language: run?.language ?? "", time: Timestamp.text(Int64(clamping: hop.time)), attempt: hop.attempt)
    }

    private static func trace(_ bytes: [UInt8]) -> DeadLetterDetail.Trace? {
        TraceText(bytes).map { DeadLetterDetail.Trace(traceparent: $0.traceparent, tracestate: $0.tracestate) }
    }

    private static func value(_ value: AttributeValue) -> DeadLetterDetail.Value {
        switch value {
        case .text(let text): .text(text)
        case .integer(let integer): .integer(integer)
        case .number(let number): .number(number)
        case .flag(let flag): .flag(flag)
        }
    }

    /// Bytes that are a text as a person means it: UTF-8 without control characters but for line ends and tabs.
    static func text(_ bytes: [UInt8]) -> String? {
        let isText = bytes.allSatisfy { ($0 >= 0x20 && $0 != 0x7f) || $0 == 0x09 || $0 == 0x0a || $0 == 0x0d }
        return isText ? String(validating: bytes, as: UTF8.self) : nil
    }
}
