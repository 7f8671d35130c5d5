import Foundation
import StagewireLedger
import StagewireModel
import StagewireRecord
import StagewireStage
import StagewireWire

/// A record of the journal in the form in which stages take records as text: docs/RECORD_JSON.md.
struct StoredRecordText {
    var record: StoredRecord
    /// Knows the workers that lineage names.
    var ledger: Ledger

    /// One JSON object on one line, without the line break.
    var line: [UInt8] {
        RecordRef.reading(wire: record.bytes.span.bytes) {
            RecordJSON.write(output($0), lineage: lineage($0), attempt: 1)
        }
    }

    private func output(_ record: RecordRef) -> StagewireStage.Output {
        var output = StagewireStage.Output(payload: Data(record.payload))
        output.key = record.key
        output.schema = record.schema
        output.schemaVersion = record.schemaVersion
        output.contentType = record.contentType
        output.eventTime = record.eventTime
        // Of two with one name the first counts.
        for (name, value) in record.attributes() where output.attributes[name] == nil {
            output.attributes[name] = value
        }
        return output
    }

    private func lineage(_ record: RecordRef) -> Lineage {
        var lineage = Lineage()
        (lineage.id, lineage.root) = (record.id.description, record.root.description)
        lineage.parents = record.parentIDs().map(\.description)
        lineage.isTruncated = record.hasMoreParents
        lineage.trace = TraceText(record.trace).map {
            TraceContext(traceparent: $0.traceparent, tracestate: $0.tracestate)
        }
        lineage.ingestTime = Int64(clamping: record.ingestTime)
        lineage.hops = record.hops().map { hop in
            var run =
                ledger.run(hop.run) ?? StagewireModel.Run(number: 0, stage: "", version: "", instance: "", language: "")
            // Its number is the broker's own affair and nowhere in this form.
            run.number = 0
            return Lineage.Hop(run: run, time: Int64(clamping: hop.time), attempt: Int(hop.attempt))
        }
        return lineage
    }
}
