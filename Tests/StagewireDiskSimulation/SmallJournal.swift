import StagewireJournal
import StagewireTestSupport

/// A journal of three segments of 1,024 bytes with 15 entries, the same each time: for tests that damage one.
public enum SmallJournal {
    public static let identity = JournalIdentity(high: 0x0011_2233_4455_6677, low: 0x8899_aabb_ccdd_eeff)

    public static var options: JournalOptions { JournalOptions(identity: identity, nonce: 1, segmentBytes: 1024) }

    /// Entries of each flush.
    public static let flushes = [1, 3, 2, 1, 3, 1, 2, 1, 1]

    /// Text, so that dumps can be read: "entry 4: ddddd".
    public static func payload(_ sequence: UInt64) -> [UInt8] {
        let letter = UInt8(ascii: "a") + UInt8(sequence % 26)
        return Array("entry \(sequence): ".utf8) + [UInt8](repeating: letter, count: 30 + Int(sequence) * 53 % 110)
    }

    public static func write<D: Disk>(to disk: D, flushes: [Int] = flushes) throws(JournalError) {
        var writer = try JournalWriter.open(disk, options)
        for count in flushes {
            var sequence = writer.next
            for _ in 0..<count {
                writer.append(kind: UInt8(sequence % 3 + 1), payload(sequence).span.bytes)
                sequence += 1
            }
            _ = try writer.flush()
        }
    }

    public static func disk() throws(JournalError) -> MemoryDisk {
        let disk = MemoryDisk(random: SplitMix64(seed: 7))
        try write(to: disk)
        return disk
    }
}

extension MemoryDisk {
    public var segmentNames: [String] { fileNames.filter { JournalFormat.firstSequence(of: $0) != nil } }

    /// Changes bits of one byte.
    public func flip(_ name: String, _ offset: Int, _ bits: UInt8 = 0x10) {
        var bytes = bytes(of: name)
        bytes[offset] ^= bits
        replace(name, bytes)
    }
}
