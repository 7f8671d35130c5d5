import StagewireDiskSimulation
import StagewireJournal
import StagewireTestSupport
import Testing

/// The snapshot is the old one or the new one, whatever happens while it is replaced; and whoever replaces it knows which, or knows
/// that nobody does.
struct SnapshotFileTests {
    private static let old = [UInt8](repeating: 7, count: 1500)
    private static let new = (0..<2500).map { UInt8(truncatingIfNeeded: $0) }

    private func disk() throws -> MemoryDisk {
        let disk = MemoryDisk(random: SplitMix64(seed: 3))
        try SnapshotFile.write(Self.old, of: identity, on: disk)
        disk.restart(.process)
        return disk
    }

    /// The calls of one replacement.
    private func calls() throws -> [DiskOperation] {
        let disk = try disk()
        try SnapshotFile.write(Self.new, of: identity, on: disk)
        #expect(try SnapshotFile.read(of: identity, on: disk) == Self.new)
        return Array(disk.calls.prefix { $0 != .open })
    }

    @Test func nothingThere() throws {
        let disk = MemoryDisk(random: SplitMix64(seed: 1))
        #expect(try SnapshotFile.read(of: identity, on: disk) == nil)
        try SnapshotFile.write([], of: identity, on: disk)
        #expect(try SnapshotFile.read(of: identity, on: disk) == [])
        #expect(disk.fileNames == ["snapshot"] && disk.openFiles == 0)
    }

    @Test func order() throws {
        #expect(try calls() == [.remove, .create, .write, .write, .sync, .rename, .syncDirectory])
    }

    /// An error leaves the old one in place for good, or is final.
    @Test func everyCallFails() throws {
        for call in try calls().indices {
            for fault in [MemoryDisk.Fault.fails, .full, .short] {
                let disk = try disk()
                disk.faults[call] = fault
                let operation = try calls()[call]
                do throws(JournalError) {
                    try SnapshotFile.write(Self.new, of: identity, on: disk)
                    #expect(fault == .short)
                    #expect(try SnapshotFile.read(of: identity, on: disk) == Self.new)
                } catch {
                    let isFinal = operation == .syncDirectory || operation == .rename && fault == .fails
                    guard case .poisoned = error else {
                        #expect(!isFinal, "\(operation) \(fault): \(error)")
                        #expect(try SnapshotFile.read(of: identity, on: disk) == Self.old, "\(operation) \(fault)")
                        try SnapshotFile.write(Self.new, of: identity, on: disk)
                        #expect(try SnapshotFile.read(of: identity, on: disk) == Self.new)
                        continue
                    }
                    #expect(isFinal, "\(operation) \(fault): \(error)")
                }
                #expect(disk.openFiles == 0)
            }
        }
    }

    @Test func everyCrash() throws {
        var found: Set<[UInt8]> = []
        for call in try calls().indices {
            for fault in [MemoryDisk.Fault.crashBefore, .crashHalfway, .crashAfter] {
                for seed in 0..<20 as Range<UInt64> {
                    let disk = try disk()
                    disk.faults[call] = fault
                    try? SnapshotFile.write(Self.new, of: identity, on: disk)
                    disk.restart(seed == 0 ? .process : .power(seed: seed))
                    let content = try #require(try SnapshotFile.read(of: identity, on: disk))
                    #expect(content == Self.old || content == Self.new)
                    if call == 6 && fault == .crashAfter { #expect(content == Self.new) }
                    found.insert(content)
                    try SnapshotFile.write(Self.new, of: identity, on: disk)
                    #expect(try SnapshotFile.read(of: identity, on: disk) == Self.new)
                }
            }
        }
        #expect(found.count == 2)
    }

    @Test func everyByteAndEveryLength() throws {
        let disk = try disk()
        let bytes = disk.bytes(of: "snapshot")
        // Four bytes of the header are not used.
        for place in bytes.indices where !(44..<48).contains(place) {
            var changed = bytes
            changed[place] ^= 0x20
            disk.replace("snapshot", changed)
            #expect(throws: JournalError.self) { _ = try SnapshotFile.read(of: identity, on: disk) }
        }
        for count in 0..<bytes.count {
            disk.replace("snapshot", Array(bytes[..<count]))
            #expect(throws: JournalError.self) { _ = try SnapshotFile.read(of: identity, on: disk) }
        }
        disk.replace("snapshot", bytes)
        let other = JournalIdentity(high: 1, low: 2)
        #expect(throws: JournalError.foreignPipeline(segment: "snapshot", found: identity, expected: other)) {
            _ = try SnapshotFile.read(of: other, on: disk)
        }
        #expect(try SnapshotFile.read(of: nil, on: disk) == Self.old)
    }
}
