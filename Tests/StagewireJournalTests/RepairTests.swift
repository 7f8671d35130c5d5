import StagewireDiskSimulation
import StagewireJournal
import Testing

/// Looking beside a writer, and repairing under the lock.
struct RepairTests {
    private let disk: MemoryDisk
    private let names: [String]

    init() throws {
        disk = try SmallJournal.disk()
        names = disk.segmentNames
        try #require(names.count == 3)
    }

    /// What is half written at the first look is whole at the second; what is damaged is damaged at both.
    @Test func besideAWriter() throws {
        let whole = disk.bytes(of: names[2])
        let end = (whole.lastIndex { $0 != 0 } ?? 0) + 1
        // The last flush's entry is there but for one byte: by itself that would be damage.
        disk.flip(names[2], end - 20)
        #expect(try Verification.verify(disk).isDamaged)
        var pauses = 0
        let report = try Verification.verifyBesideWriter(disk) {
            pauses += 1
            disk.replace(names[2], whole)
        }
        #expect(report.findings.isEmpty && report.end?.sequence == 16 && pauses == 1)

        disk.flip(names[1], 300)
        disk.flip(names[2], end - 20)
        let both = try Verification.verifyBesideWriter(disk) { disk.replace(names[2], whole) }
        #expect(both.findings.map(\.segment) == [names[1]] && both.isDamaged)
        // A writer that has got on, and is in the middle of the next write.
        disk.flip(names[1], 300)
        disk.flip(names[2], 100)
        let moved = try Verification.verifyBesideWriter(disk) {
            disk.replace(names[2], whole)
            disk.flip(names[2], end - 20)
        }
        #expect(moved.findings.isEmpty)
        disk.replace(names[2], whole)
        #expect(try Verification.verifyBesideWriter(disk) { Issue.record("nothing to look at twice") }.findings.isEmpty)
    }

    @Test func positions() throws {
        var seen: [JournalPosition] = []
        _ = try Verification.verify(disk) { _, position, _ in seen.append(position) }
        var reader = try JournalReader.open(disk, from: 1)
        #expect(reader.position == nil)
        for expected in seen {
            _ = try reader.advance()
            #expect(reader.position == expected)
        }
        #expect(seen.count == 15)
    }

    @Test func underTheLock() throws {
        disk.flip(names[1], 300)
        let original = disk.bytes(of: names[1])
        let lock = try disk.lock(JournalFormat.lockName)
        #expect(throws: JournalError.inUse(lock: "lock")) { _ = try Repair.run(disk) }
        disk.close(lock)
        disk.replace(names[2] + ".damaged", [])
        let repair = try Repair.run(disk)
        #expect(repair.found.isDamaged && !repair.report.isDamaged)
        #expect(repair.asides.map(\.segment) == [names[2], names[1]])
        #expect(repair.asides.map(\.name) == [names[2] + ".damaged.2", names[1] + ".damaged"])
        #expect(disk.bytes(of: names[1] + ".damaged") == original)
        #expect(disk.openFiles == 0, "the lock is given back")
        let again = try Repair.run(disk)
        #expect(again.plan.steps.isEmpty && again.asides.isEmpty && again.found == repair.report)
    }

    /// Without room for the copies nothing is half done: what is set aside is whole, and the repair is begun again.
    @Test(arguments: [0, 1023, 1024, 2047]) func withoutRoom(_ room: Int) throws {
        disk.flip(names[1], 300)
        disk.delete(names[2])
        let original = disk.bytes(of: names[1])
        disk.capacity = 2 * 1024 + room
        do {
            _ = try Repair.run(disk)
            Issue.record("there is no room for two copies")
        } catch {
            guard case .full(.disk) = error else { throw error }
        }
        #expect(disk.bytes(of: names[1]) == original)
        let asides = disk.fileNames.filter { $0.contains(".damaged") }
        #expect(asides.count == (room < 1024 ? 0 : 1) && asides.allSatisfy { disk.bytes(of: $0) == original })
        disk.capacity = .max
        #expect(try !Repair.run(disk).report.isDamaged)
        #expect(!disk.fileNames.contains("repair.new"))
    }

    @Test func whoHasTheLock() throws {
        let scratch = try Scratch()
        let disk = try FileDisk(path: scratch.path)
        #expect(try !disk.isLocked("lock"))
        #expect(try disk.list().isEmpty, "asking makes no file")
        let lock = try disk.lock("lock")
        #expect(try disk.isLocked("lock"))
        disk.close(lock)
        #expect(try !disk.isLocked("lock"))
        // Asking has given everything back.
        disk.close(try disk.lock("lock"))
    }
}
