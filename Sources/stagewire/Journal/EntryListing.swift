import Glibc
import StagewireJournal

/// Entries as they are printed: text at once, JSON in one list.
struct EntryListing {
    let isJSON: Bool
    /// Whether payloads are shown.
    let withBytes: Bool
    /// Bytes of JSON that are collected.
    let limit: Int

    private(set) var count = 0
    /// False as soon as whoever reads the output has gone, as `head` does.
    private(set) var isRead = true
    private(set) var list: [JSONValue] = []
    private var collected = 0

    /// What an entry takes in JSON without its payload, roughly.
    private static let entryBytes = 256
    /// Rows of a dump that are written at once.
    private static let rows = 1024

    init(isJSON: Bool, withBytes: Bool, limit: Int) {
        self.isJSON = isJSON
        self.withBytes = withBytes
        self.limit = limit
    }

    var isFull: Bool { collected > limit }

    mutating func add(_ entry: EntryHeader, _ position: JournalPosition, _ payload: RawSpan) {
        count += 1
        isJSON ? collect(entry, position, payload) : show(entry, position, payload)
    }

    private mutating func collect(_ entry: EntryHeader, _ position: JournalPosition, _ payload: RawSpan) {
        collected += Self.entryBytes + (withBytes ? 2 * payload.byteCount : 0)
        guard !isFull else { return }
        var members: [String: JSONValue] = [
            "sequence": .unsigned(entry.sequence), "flush_start": .unsigned(entry.flushStart),
            "segment": .text(JournalFormat.segmentName(position.segment)),
            "offset": .unsigned(UInt64(position.offset)), "checksum": .text(HexDump.digits(entry.checksum)),
        ]
        if withBytes { members["payload"] = .text("0x" + HexDump.digits(payload)) }
        members.merge(describe(kind: entry.kind, payload: payload).members) { _, new in new }
        list.append(.object(members))
    }

    private mutating func show(_ entry: EntryHeader, _ position: JournalPosition, _ payload: RawSpan) {
        let heading = Self.line("sequence", "flush", "segment", "offset", "checksum", "what")
        let line = Self.line(
            "\(entry.sequence)", "\(entry.flushStart)", JournalFormat.segmentName(position.segment),
            "\(position.offset)", HexDump.digits(entry.checksum),
            describe(kind: entry.kind, payload: payload).text)
        write(count == 1 ? heading + "\n" + line : line)
        var offset = 0
        while withBytes, isRead, offset < payload.byteCount {
            let end = min(offset + 16 * Self.rows, payload.byteCount)
            let rows = stride(from: offset, to: end, by: 16).map { "    " + HexDump.line(payload, at: $0) }
            write(rows.joined(separator: "\n"))
            offset = end
        }
    }

    /// What comes is not known yet, so columns have the widths of what is likely.
    private static func line(
        _ sequence: String, _ flush: String, _ segment: String, _ offset: String, _ checksum: String, _ what: String
    ) -> String {
        func right(_ text: String, _ width: Int) -> String {
            String(repeating: " ", count: max(0, width - text.count)) + text
        }
        let name = segment + String(repeating: " ", count: max(0, 20 - segment.count))
        return "  \(right(sequence, 8))  \(right(flush, 8))  \(name)  \(right(offset, 9))  \(checksum)  \(what)"
    }

    private mutating func write(_ text: String) { isRead = Terminal.write(text + "\n", to: STDOUT_FILENO) }
}
