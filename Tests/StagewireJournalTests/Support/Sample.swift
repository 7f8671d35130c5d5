import StagewireDiskSimulation
import StagewireJournal
import StagewireTestSupport

/// Small journals, and what is found in them.
enum Sample {
    static func options(segmentBytes: Int = 1024) -> JournalOptions {
        JournalOptions(identity: identity, nonce: 0x0123_4567_89ab_cdef, segmentBytes: segmentBytes)
    }

    static func disk() -> MemoryDisk { MemoryDisk(random: SplitMix64(seed: 7)) }

    static func open(_ disk: MemoryDisk, _ options: JournalOptions = options()) throws -> JournalWriter<MemoryDisk> {
        try JournalWriter.open(disk, options)
    }

    static func item(_ number: Int, bytes: Int) -> Item {
        let payload = (0..<bytes).map { UInt8(truncatingIfNeeded: number &* 31 &+ $0 &* 7 | 1) }
        return Item(sequence: UInt64(number), kind: UInt8(number % 9 + 1), payload: payload)
    }

    /// Flushes of the given numbers of entries, each of 40 to 150 bytes; the entries in order.
    static func fill(_ writer: inout JournalWriter<MemoryDisk>, flushes: [Int]) throws -> [Item] {
        var items: [Item] = []
        for count in flushes {
            for _ in 0..<count {
                let number = Int(writer.next) + items.count { $0.sequence >= writer.next }
                let item = item(number, bytes: 40 + number * 53 % 110)
                writer.append(kind: item.kind, item.payload.span.bytes)
                items.append(item)
            }
            _ = try writer.flush()
        }
        return items
    }

    /// What a scan delivers and reports.
    static func scan(_ disk: MemoryDisk, _ request: ScanRequest = ScanRequest()) throws -> ([Item], ScanReport) {
        var items: [Item] = []
        let report = try Verification.verify(disk, request) { entry, _, payload in
            items.append(
                Item(sequence: entry.sequence, kind: entry.kind, payload: payload.withUnsafeBytes { Array($0) }))
        }
        return (items, report)
    }
}

/// Bytes, which a bare literal would not be.
func bytes(_ values: UInt8...) -> [UInt8] { values }
