import StagewireDiskSimulation
import StagewireJournal

/// What docs/JOURNAL_FORMAT.md says of an entry, read from the bytes once more without the journal's own code.
struct JournalAccount {
    struct Entry: Equatable {
        let header: EntryHeader
        let position: JournalPosition
        let payload: [UInt8]

        init(_ header: EntryHeader, _ position: JournalPosition, _ payload: RawSpan) {
            self.header = header
            self.position = position
            self.payload = payload.withUnsafeBytes { Array($0) }
        }
    }

    private let files: [UInt64: [UInt8]]

    init(_ disk: MemoryDisk) {
        var files: [UInt64: [UInt8]] = [:]
        for name in disk.fileNames {
            if let first = JournalFormat.firstSequence(of: name) { files[first] = disk.bytes(of: name) }
        }
        self.files = files
    }

    /// Traps when this may not be served.
    func check(_ entry: Entry, after previous: Entry?) {
        guard let file = files[entry.position.segment] else { preconditionFailure("an entry is in a segment") }
        let start = entry.position.offset
        let size = (32 + entry.payload.count) / 8 * 8 + 8
        precondition(start % 8 == 0 && start >= 64 && start + size <= file.count, "an entry is within its segment")
        let stored = file[start..<start + size]
        precondition(
            Array(stored.dropFirst(32).prefix(entry.payload.count)) == entry.payload, "its payload is what is there")
        precondition(Little.number(file, start + 4, 4) == UInt64(entry.payload.count), "and as long as it says")
        let sum = NaiveCRC32C.of(file[48..<56] + stored.dropFirst(4))
        precondition(
            Little.number(file, start, 4) == UInt64(sum) && entry.header.checksum == sum, "the checksum is right")
        precondition(NaiveCRC32C.of(file[0..<60]) == UInt32(Little.number(file, 60, 4)), "and that of the segment")
        precondition(Little.number(file, start + 8, 8) == entry.header.sequence, "the sequence is what is there")
        precondition(
            entry.header.flushStart >= 1 && entry.header.flushStart <= entry.header.sequence, "flushes begin before")
        precondition(file[start + 28] == entry.header.kind && entry.header.kind != 0, "no entry is of kind 0")
        let expected = previous.map { $0.header.sequence + 1 } ?? entry.position.segment
        precondition(entry.header.sequence == expected, "sequences follow each other")
        let chain = previous.map { UInt64($0.header.checksum) } ?? Little.number(file, 12, 4)
        precondition(Little.number(file, start + 24, 4) == chain, "an entry names the one before it")
    }
}

enum Little {
    static func number(_ bytes: [UInt8], _ offset: Int, _ count: Int) -> UInt64 {
        bytes[offset..<offset + count].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    static func store(_ value: UInt64, _ bytes: inout [UInt8], _ offset: Int, _ count: Int) {
        for index in 0..<count { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> (index * 8)) }
    }
}

/// Bit by bit, as RFC 3720 has it, so that a mistake in the tables of the fast one would show.
enum NaiveCRC32C {
    static func of(_ bytes: some Sequence<UInt8>) -> UInt32 {
        var crc = UInt32.max
        for byte in bytes {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0x82f6_3b78 : crc >> 1 }
        }
        return ~crc
    }
}
