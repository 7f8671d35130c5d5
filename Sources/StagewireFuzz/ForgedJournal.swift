import StagewireDiskSimulation
import StagewireJournal
import StagewireTestSupport

/// Segments made of a fuzz input (`JournalFuzzer` says how). What a checksum keeps a fuzzer from is made right, if the input asks
/// for it, so that everything behind the checksums is reached.
struct ForgedJournal {
    private var files: [[UInt8]]
    private let flags: UInt8

    private var hasRightHeaders: Bool { flags & 1 != 0 }
    private var hasRightEntries: Bool { flags & 2 != 0 }
    private var isReused: Bool { flags & 16 != 0 }

    init(_ input: [UInt8]) {
        flags = input[0]
        let rest = input.dropFirst(2)
        let cut = min(rest.count, Int(input[1]) * 8)
        files = flags & 4 == 0 ? [Array(rest)] : [Array(rest.prefix(cut)), Array(rest.dropFirst(cut))]
        for index in files.indices where hasRightHeaders { correctHeader(index) }
        if hasRightEntries { correctEntries() }
    }

    /// A file has the name that its header says, or else 1 and 2.
    func disk() -> MemoryDisk {
        let disk = MemoryDisk(random: SplitMix64(seed: 1))
        for (index, file) in files.enumerated() {
            var name = UInt64(index + 1)
            if hasRightHeaders, file.count >= 64 { name = max(1, Little.number(file, 32, 8)) }
            disk.replace(JournalFormat.segmentName(name), file)
        }
        return disk
    }

    private mutating func correctHeader(_ index: Int) {
        guard files[index].count >= 64 else { return }
        for (place, byte) in "stgwjrnl".utf8.enumerated() { files[index][place] = byte }
        // Now and then a later version is left in peace.
        if files[index][8] != 3 { Little.store(isReused || files[index][8] == 2 ? 2 : 1, &files[index], 8, 4) }
        Little.store(isReused ? 1 : 0, &files[index], 56, 4)
        Little.store(UInt64(NaiveCRC32C.of(files[index][0..<60])), &files[index], 60, 4)
    }

    /// Each entry, and each mark, up to one whose length leads nowhere: its checksum, and the number and the predecessor that it should
    /// have unless it has a number of its own (flag 8). Behind a mark they go on, as what is left of a write that was cut short does.
    private mutating func correctEntries() {
        var chain: UInt64?
        for index in files.indices where files[index].count >= 64 {
            var sequence = Little.number(files[index], 32, 8)
            if let chain, hasRightHeaders {
                Little.store(chain, &files[index], 12, 4)
                correctHeader(index)
            }
            var previous = Little.number(files[index], 12, 4)
            var offset = 64
            while offset + 40 <= files[index].count {
                let length = Int(Little.number(files[index], offset + 4, 4))
                let isMark = files[index][offset + 28] == 0xff
                let size = isMark ? 32 : (32 + length) / 8 * 8 + 8
                guard files[index][offset + 28] != 0, offset + size <= files[index].count else { break }
                if flags & 8 == 0 {
                    Little.store(sequence, &files[index], offset + 8, 8)
                    Little.store(previous, &files[index], offset + 24, 4)
                    if isMark { Little.store(sequence, &files[index], offset + 16, 8) }
                }
                let sum = NaiveCRC32C.of(files[index][48..<56] + files[index][offset + 4..<offset + size])
                Little.store(UInt64(sum), &files[index], offset, 4)
                offset += size
                if isMark { continue }
                previous = UInt64(sum)
                sequence &+= 1
            }
            chain = previous
        }
    }
}
