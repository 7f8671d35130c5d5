import StagewireStage

/// How records stand in a text, one on each line.
public enum LineFormat: String, Codable, Sendable, CaseIterable {
    /// The payload is the line.
    case lines
    /// docs/RECORD_JSON.md
    case jsonLines = "json-lines"

    func decode(_ line: ArraySlice<UInt8>) throws(RecordJSON.Malformed) -> Output {
        switch self {
        case .lines: return Output(payload: line)
        case .jsonLines: return try RecordJSON.read(Array(line))
        }
    }

    /// The lines of some records. A line break inside of a payload would make two records of one.
    func encode(_ records: [Record], _ out: inout Emitter) -> [UInt8] {
        var bytes: [UInt8] = []
        for record in records {
            if self == .lines, record.withPayload({ $0.contains(0x0a) }) {
                out.reject(record, 1001, "its payload holds a line break; `format: json-lines` can hold it")
                continue
            }
            switch self {
            case .lines: record.withPayload { bytes.append(contentsOf: $0) }
            case .jsonLines: bytes += RecordJSON.write(record)
            }
            bytes.append(0x0a)
        }
        return bytes
    }
}
