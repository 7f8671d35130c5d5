import Foundation
import StagewireModel

/// Records as JSON, one object on one line: docs/RECORD_JSON.md.
public enum RecordJSON {
    /// Why a line is not a record.
    public struct Malformed: Error, Equatable, CustomStringConvertible {
        public var description: String
    }

    // MARK: Writing

    /// An emission, without a line break at the end.
    public static func write(_ output: Output) -> [UInt8] {
        var writer = ObjectWriter()
        appendAuthored(output, to: &writer)
        if !output.port.isEmpty { writer.text("port", output.port) }
        return writer.finish()
    }

    /// A delivered record with its lineage, without a line break at the end.
    ///
    /// - Parameter withInput: names the input, for stages that have several.
    public static func write(_ record: Record, withInput: Bool = false) -> [UInt8] {
        var writer = delivered(record.output(), record.lineage, attempt: record.attempt)
        if withInput {
            let isOnlyPort = record.input.port.isEmpty || record.input.port == "out"
            writer.text("input", isOnlyPort ? record.input.stage : "\(record.input.stage).\(record.input.port)")
        }
        return writer.finish()
    }

    /// As `write(_:withInput:)`, for a record that is no delivery any more.
    package static func write(_ output: Output, lineage: Lineage, attempt: Int) -> [UInt8] {
        delivered(output, lineage, attempt: attempt).finish()
    }

    private static func delivered(_ output: Output, _ lineage: Lineage, attempt: Int) -> ObjectWriter {
        var writer = ObjectWriter()
        appendAuthored(output, to: &writer)
        if !lineage.id.isEmpty { writer.raw("lineage", RecordJSON.lineage(lineage)) }
        writer.raw("attempt", Array("\(attempt)".utf8))
        return writer
    }

    private static func appendAuthored(_ output: Output, to writer: inout ObjectWriter) {
        if let text = String(validating: output.key, as: UTF8.self) {
            if !text.isEmpty { writer.text("key", text) }
        } else {
            writer.text("key_base64", Data(output.key).base64EncodedString())
        }
        appendPayload(output, to: &writer)
        if !output.schema.isEmpty { writer.text("schema", output.schema) }
        if output.schemaVersion != 0 { writer.raw("schema_version", Array("\(output.schemaVersion)".utf8)) }
        if !output.contentType.isEmpty { writer.text("content_type", output.contentType) }
        if output.eventTime != 0 { writer.time("event_time", output.eventTime) }
        guard !output.attributes.isEmpty else { return }
        var attributes = ObjectWriter()
        for (name, value) in output.attributes { attributes.attribute(name, value) }
        writer.raw("attributes", attributes.finish())
    }

    /// The first form that fits: JSON as it is, text, bytes. An empty payload has none.
    private static func appendPayload(_ output: Output, to writer: inout ObjectWriter) {
        guard !output.payload.isEmpty else { return }
        let isJSON = output.contentType == "application/json" || output.contentType.hasSuffix("+json")
        if isJSON, !output.payload.contains(0x0a), !output.payload.contains(0x0d),
            (try? JSONScanner.read(output.payload, texts: false)) != nil
        {
            writer.raw("json", output.payload)
        } else if let text = String(validating: output.payload, as: UTF8.self) {
            writer.text("text", text)
        } else {
            writer.text("base64", Data(output.payload).base64EncodedString())
        }
    }

    private static func lineage(_ lineage: Lineage) -> [UInt8] {
        var writer = ObjectWriter()
        writer.text("id", lineage.id)
        writer.text("root", lineage.root)
        if !lineage.parents.isEmpty {
            let parents = lineage.parents.map { "\"\($0)\"" }.joined(separator: ", ")
            writer.raw("parents", Array("[\(parents)]".utf8))
        }
        if lineage.isTruncated { writer.raw("parents_truncated", Array("true".utf8)) }
        writer.time("ingest_time", lineage.ingestTime)
        if let trace = lineage.trace {
            var inner = ObjectWriter()
            inner.text("traceparent", trace.traceparent)
            if !trace.tracestate.isEmpty { inner.text("tracestate", trace.tracestate) }
            writer.raw("trace", inner.finish())
        }
        var hops: [UInt8] = []
        for hop in lineage.hops {
            if !hops.isEmpty { hops += Array(", ".utf8) }
            hops += RecordJSON.hop(hop)
        }
        writer.raw("hops", [UInt8(ascii: "[")] + hops + [UInt8(ascii: "]")])
        return writer.finish()
    }

    private static func hop(_ hop: Lineage.Hop) -> [UInt8] {
        var writer = ObjectWriter()
        if let run = hop.run {
            let values = [
                ("stage", run.stage), ("version", run.version), ("instance", run.instance), ("language", run.language),
            ]
            for (name, value) in values where !value.isEmpty { writer.text(name, value) }
        }
        writer.time("time", hop.time)
        writer.raw("attempt", Array("\(hop.attempt)".utf8))
        return writer.finish()
    }
}

/// Puts an object together, member by member.
private struct ObjectWriter {
    private var bytes: [UInt8] = [UInt8(ascii: "{")]

    mutating func raw(_ name: String, _ value: [UInt8]) {
        if bytes.count > 1 { bytes += Array(", ".utf8) }
        JSONText.append(name, to: &bytes)
        bytes += Array(": ".utf8)
        bytes += value
    }

    mutating func text(_ name: String, _ value: String) {
        var text: [UInt8] = []
        JSONText.append(value, to: &text)
        raw(name, text)
    }

    /// A text within the years 1 to 9999, the number of microseconds otherwise.
    mutating func time(_ name: String, _ microseconds: Int64) {
        let text = Timestamp.text(microseconds)
        if Timestamp.range.contains(microseconds) { self.text(name, text) } else { raw(name, Array(text.utf8)) }
    }

    mutating func attribute(_ name: String, _ value: AttributeValue) {
        switch value {
        case .text(let value): text(name, value)
        case .integer(let value): raw(name, Array("\(value)".utf8))
        case .flag(let value): raw(name, Array("\(value)".utf8))
        case .number(let value):
            if let number = JSONText.number(value) {
                raw(name, Array(number.utf8))
            } else {
                text(name, value.isNaN ? "NaN" : value < 0 ? "-Infinity" : "Infinity")
            }
        }
    }

    func finish() -> [UInt8] { bytes + [UInt8(ascii: "}")] }
}
