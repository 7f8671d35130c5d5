import StagewireStage

/// Batches to bytes, and bytes to emissions.
enum ExecFormat {
    /// Why a record cannot be handed over in this form; nil when it can.
    static func flaw(_ record: Record, _ input: ExecConfiguration.Input) -> String? {
        guard input == .lines else { return nil }
        let hasBreak = record.withPayload { $0.contains(0x0a) }
        return hasBreak ? "its payload holds a line break, which `input: lines` cannot tell from two records" : nil
    }

    static func encode(_ records: [Record], _ input: ExecConfiguration.Input) -> [UInt8] {
        var bytes: [UInt8] = []
        for record in records {
            switch input {
            case .lines:
                record.withPayload { bytes.append(contentsOf: $0) }
                bytes.append(0x0a)
            case .lengthPrefixed:
                let length = UInt32(record.payloadSize)
                for shift: UInt32 in [24, 16, 8, 0] { bytes.append(UInt8(truncatingIfNeeded: length >> shift)) }
                record.withPayload { bytes.append(contentsOf: $0) }
            case .jsonLines, .file:
                bytes += RecordJSON.write(record, withInput: true)
                bytes.append(0x0a)
            }
        }
        return bytes
    }

    /// Why a command's output is none.
    struct Malformed: Error { var message: String }

    /// - Parameter key: what emissions without a key of their own get.
    static func decode(
        _ bytes: [UInt8], _ format: ExecConfiguration.Output, key: [UInt8]
    ) throws(Malformed) -> [Output] {
        switch format {
        case .none: return []
        case .lines: return lines(bytes).map { output($0, key) }
        case .lengthPrefixed: return try prefixed(bytes).map { output($0, key) }
        case .jsonLines:
            var outputs: [Output] = []
            for (index, line) in lines(bytes).enumerated() where line.contains(where: { $0 > 0x20 }) {
                do {
                    var output = try RecordJSON.read(Array(line))
                    if output.key.isEmpty { output.key = key }
                    outputs.append(output)
                } catch {
                    throw Malformed(message: "line \(index + 1) of its output is no record: \(error.description)")
                }
            }
            return outputs
        }
    }

    private static func output(_ payload: ArraySlice<UInt8>, _ key: [UInt8]) -> Output {
        var output = Output(payload: payload)
        output.key = key
        return output
    }

    /// What stands behind the last line break is a line too: many tools leave that out.
    private static func lines(_ bytes: [UInt8]) -> [ArraySlice<UInt8>] {
        var lines = bytes.split(separator: 0x0a, omittingEmptySubsequences: false)
        if lines.last?.isEmpty == true { lines.removeLast() }
        return lines
    }

    private static func prefixed(_ bytes: [UInt8]) throws(Malformed) -> [ArraySlice<UInt8>] {
        var found: [ArraySlice<UInt8>] = []
        var at = 0
        while at < bytes.count {
            guard at + 4 <= bytes.count else { throw Malformed(message: "its output ends inside of a length") }
            let length = bytes[at..<(at + 4)].reduce(0) { $0 << 8 | Int($1) }
            guard at + 4 + length <= bytes.count else {
                throw Malformed(message: "its output ends inside of a record of \(length) bytes")
            }
            found.append(bytes[(at + 4)..<(at + 4 + length)])
            at += 4 + length
        }
        return found
    }
}
