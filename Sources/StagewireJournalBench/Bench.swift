import Glibc
import StagewireJournal

/// Group commit of records of 100 bytes, an entry for each group and one for each record, beside a file that is only written and
/// synced. The three take turns, since disks drift. What is prepared ahead is not in the time.
enum Bench {
    static let recordBytes = 100
    static let rounds = 20

    struct Figure {
        var records = 0
        var seconds = 0.0
        var perSecond: Double { Double(records) / seconds }
    }

    static func run(_ directory: String, seconds: Double) throws {
        guard mkdir(directory, 0o700) == 0 || errno == EEXIST else { fail("cannot make \(directory)") }
        checksum()
        try opening(directory)
        for zeros in [true, false] {
            print(zeros ? "segments written with zeros ahead:" : "segments only reserved:")
            print("  records per group      floor     entry per group    entry per record   bytes per payload byte")
            for count in [1, 100, 1000] {
                try row(directory, zeros: zeros, count: count, slice: seconds / Double(rounds))
            }
        }
    }

    private static func row(_ directory: String, zeros: Bool, count: Int, slice: Double) throws {
        let disk = try FileDisk(path: directory)
        for name in try disk.list() { try disk.remove(name) }
        let options = JournalOptions(identity: JournalIdentity(high: 1, low: 1), nonce: 1)
        var writer = try JournalWriter.open(disk, options)
        var group = EntryGroup()
        let record = [UInt8](repeating: 0x78, count: recordBytes)
        var floor = try Floor(disk, bytes: count * recordBytes, zeros: zeros)
        var figures = [Figure(), Figure(), Figure()]
        var written = [0, 0]
        for _ in 0..<rounds {
            try measure(&figures[0], count, slice, { try floor.step() }, then: { try floor.prepare() })
            try measure(
                &figures[1], count, slice,
                {
                    group.begin(kind: 1)
                    for _ in 0..<count { group.put(record.span.bytes) }
                    group.end()
                    written[0] += group.byteCount
                    _ = try writer.flush(&group)
                }, then: { try prepare(&writer, zeros: zeros) })
            try measure(
                &figures[2], count, slice,
                {
                    for _ in 0..<count { group.append(kind: 1, record.span.bytes) }
                    written[1] += group.byteCount
                    _ = try writer.flush(&group)
                }, then: { try prepare(&writer, zeros: zeros) })
        }
        let amplification = (0..<2).map { Double(written[$0]) / Double(figures[$0 + 1].records * recordBytes) }
        print(
            "  \(pad("\(count)", 17)) \(pad(text(figures[0].perSecond), 10)) \(pad(text(figures[1].perSecond), 19)) "
                + "\(pad(text(figures[2].perSecond), 19))   \(rounded(amplification[0])) / \(rounded(amplification[1]))"
        )
    }

    /// The next segment ahead, and nothing kept that nobody needs.
    private static func prepare(_ writer: inout JournalWriter<FileDisk>, zeros: Bool) throws {
        if writer.segmentCount == 1 { try writer.prepareAhead() }
        while zeros && writer.wantsPreparation { try writer.prepareAhead(zeros: 8 * 1024 * 1024) }
        if writer.segmentCount > 2 { try writer.retire(below: writer.next) }
    }

    private static func measure(
        _ figure: inout Figure, _ count: Int, _ slice: Double, _ body: () throws -> Void,
        then prepare: () throws -> Void
    ) rethrows {
        let clock = ContinuousClock()
        var elapsed = 0.0
        repeat {
            let start = clock.now
            try body()
            elapsed += Double((clock.now - start).attoseconds) / 1e18
            figure.records += count
            try prepare()
        } while elapsed < slice
        figure.seconds += elapsed
    }

    /// How long a start has to read: a journal of 512 MiB in entries of 100 KB, out of the system's cache.
    private static func opening(_ directory: String) throws {
        let disk = try FileDisk(path: directory)
        for name in try disk.list() { try disk.remove(name) }
        let options = JournalOptions(identity: JournalIdentity(high: 1, low: 1), nonce: 1)
        let entry = [UInt8](repeating: 0x78, count: 100_000)
        do {
            var writer = try JournalWriter.open(disk, options)
            for _ in 0..<536 {
                for _ in 0..<10 { writer.append(kind: 1, entry.span.bytes) }
                _ = try writer.flush()
            }
        }
        let clock = ContinuousClock()
        var bytes = 0
        let elapsed = try clock.measure { _ = try JournalWriter.open(disk, options) { bytes += $2.byteCount } }
        let seconds = Double(elapsed.attoseconds) / 1e18
        print(
            "opening: \(rounded(Double(bytes) / seconds / 1e9)) GB/s, \(rounded(seconds)) s for \(bytes / 1_048_576) MiB"
        )
    }

    /// The checksum alone, since it is what the journal adds to the floor.
    private static func checksum() {
        let bytes = [UInt8](repeating: 0x5a, count: 1 << 20)
        var sum: UInt32 = 0
        let clock = ContinuousClock()
        let elapsed = clock.measure { for _ in 0..<200 { sum ^= CRC32C.of(bytes.span.bytes) } }
        let rate = 200.0 * Double(bytes.count) / (Double(elapsed.attoseconds) / 1e18) / 1e9
        print("CRC32C: \(rounded(rate)) GB/s\(sum == 1 ? " " : "")")
    }

    private static func text(_ value: Double) -> String {
        value >= 1e6 ? "\(rounded(value / 1e6)) M" : value >= 1e4 ? "\(Int(value / 1e3)) k" : "\(Int(value))"
    }

    private static func rounded(_ value: Double) -> Double { Double(Int(value * 100 + 0.5)) / 100 }

    private static func pad(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(0, width - text.count)) + text
    }
}

/// What the disk alone does with as many bytes, in a file that is prepared in the same way.
struct Floor {
    private let disk: FileDisk
    private let bytes: [UInt8]
    private let zeros: Bool
    private var file: DiskFile
    private var offset = 0
    private static let size = 64 * 1024 * 1024

    init(_ disk: FileDisk, bytes: Int, zeros: Bool) throws(DiskError) {
        self.disk = disk
        self.zeros = zeros
        self.bytes = [UInt8](repeating: 0x78, count: bytes)
        file = try Self.make(disk, zeros: zeros)
    }

    private static func make(_ disk: FileDisk, zeros: Bool) throws(DiskError) -> DiskFile {
        let file = try disk.open("floor", .create)
        try disk.preallocate(file, bytes: size)
        let piece = [UInt8](repeating: 0, count: zeros ? 1024 * 1024 : 0)
        for index in 0..<(zeros ? 64 : 0) {
            _ = try disk.write(file, piece.span.bytes, at: index * piece.count)
        }
        try disk.sync(file)
        return file
    }

    mutating func step() throws(DiskError) {
        offset += try disk.write(file, bytes.span.bytes, at: offset)
        try disk.sync(file)
    }

    /// A new file when this one is full: blocks are written for the first time, as the journal's are.
    mutating func prepare() throws(DiskError) {
        guard offset + bytes.count > Self.size else { return }
        disk.close(file)
        try disk.remove("floor")
        file = try Self.make(disk, zeros: zeros)
        offset = 0
    }
}
