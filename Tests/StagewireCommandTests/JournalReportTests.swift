import Foundation
import StagewireDiskSimulation
import StagewireJournal
import Testing

@testable import stagewire

/// What `journal verify` and `repair` say about a small journal that is damaged in one way or another: `Journals/NAME.txt`, word
/// for word. `STAGEWIRE_GOLDEN=write` writes them anew; read the difference before committing it.
@Suite struct JournalReportTests {
    private static let directory = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("Journals")

    /// What is done to a journal of the segments `names`, of which each holds a few entries.
    private static let cases: [String: @Sendable (MemoryDisk, [String]) -> Void] = [
        "intact": { _, _ in },
        "empty": { disk, names in names.forEach(disk.delete) },
        "one-flip": { disk, names in disk.flip(names[1], 300) },
        "several-flips": { disk, names in
            for (index, place) in [(0, 70), (0, 500), (1, 400), (2, 90)] { disk.flip(names[index], place) }
        },
        "first-header": { disk, names in disk.flip(names[0], 20) },
        "last-header": { disk, names in disk.flip(names[2], 20) },
        "segment-gone": { disk, names in disk.delete(names[1]) },
        "cut-off": { disk, names in disk.replace(names[2], Array(disk.bytes(of: names[2]).prefix(200))) },
        "grown": { disk, names in disk.replace(names[0], disk.bytes(of: names[0]) + [0, 7]) },
        "stray": { disk, names in disk.flip(names[0], 1020) },
        "torn": { disk, names in
            // The end of the last flush was never written.
            let bytes = disk.bytes(of: names[2])
            let end = bytes.lastIndex { $0 != 0 } ?? 0
            disk.replace(names[2], bytes[..<(end - 20)] + [UInt8](repeating: 0, count: bytes.count - end + 20))
        },
        "repaired-twice": { disk, names in
            disk.replace(names[1] + ".damaged", disk.bytes(of: names[1]))
            disk.flip(names[1], 300)
        },
    ]

    private static func report(_ disk: MemoryDisk, isBeingWritten: Bool = false) throws -> JournalReport {
        JournalReport(
            "state", try Verification.verify(disk), names: disk.fileNames, isBeingWritten: isBeingWritten)
    }

    @Test(arguments: cases.keys.sorted()) func words(_ name: String) throws {
        let disk = try SmallJournal.disk()
        try #require(disk.segmentNames.count == 3)
        Self.cases[name]?(disk, disk.segmentNames)
        let scan = try Verification.verify(disk)
        let report = try Self.report(disk)
        var text = ["$ stagewire journal verify state"] + report.lines()
        text += ["$ stagewire journal repair state"] + RepairReport(report, RepairPlan(scan)).lines()
        let repair = try Repair.run(disk)
        text += ["$ stagewire journal repair state --yes"] + RepairReport(repair, now: try Self.report(disk)).lines()
        let golden = Self.directory.appendingPathComponent("\(name).txt")
        if ProcessInfo.processInfo.environment["STAGEWIRE_GOLDEN"] == "write" {
            try (text.joined(separator: "\n") + "\n").write(to: golden, atomically: true, encoding: .utf8)
        }
        #expect(text.joined(separator: "\n") + "\n" == (try String(contentsOf: golden, encoding: .utf8)))
        #expect(try Self.report(disk).state != .damaged, "a repair leaves no damage")
        #expect(try Repair.run(disk).plan.steps.isEmpty, "and a second one nothing to do")
    }

    /// Whatever byte of it changes, the printed report names a range with that byte in it: an entry, a header, or bytes where zeros
    /// should be. No place of a segment means nothing.
    @Test(arguments: 0..<3) func everyFlipIsLocated(_ segment: Int) throws {
        let disk = try SmallJournal.disk()
        let name = disk.segmentNames[segment]
        let size = disk.bytes(of: name).count
        let used = (disk.bytes(of: name).lastIndex { $0 != 0 } ?? 0) + 1
        #expect(try Self.report(disk).findings.isEmpty)
        for place in 0..<size {
            disk.flip(name, place, 1 << (place % 8))
            defer { disk.flip(name, place, 1 << (place % 8)) }
            let report = try Self.report(disk)
            let isLocated = report.lines().contains { line in
                guard let match = line.firstMatch(of: #/ (\S+\.seg) +(\d+)\.\.<(\d+)/#), match.1 == name,
                    let from = Int(match.2), let to = Int(match.3)
                else { return false }
                return (from..<to).contains(place)
            }
            #expect(isLocated, "byte \(place) of \(name): \(report.lines())")
            let isLost = report.state == .damaged
            #expect(isLost == !report.problems.isEmpty && isLost == (report.lost != nil), "byte \(place)")
            // Behind the entries nothing can be lost; but the first eight bytes there may look like the beginning of one.
            if place >= used + 8 { #expect(!isLost, "byte \(place)") }
            if place < used { #expect(report.state != .intact, "byte \(place) of \(name) is missed by nobody") }
        }
    }

    @Test func besideAWriter() throws {
        let disk = try SmallJournal.disk()
        let lines = try Self.report(disk, isBeingWritten: true).lines()
        #expect(lines[0] == "state: intact, and somebody is writing")
        #expect(lines.last == "  The end may have moved since: a broker, or a repair, holds the lock.")
    }

    @Test func colours() throws {
        let disk = try SmallJournal.disk()
        disk.flip(disk.segmentNames[1], 300)
        disk.flip(disk.segmentNames[0], 1020)
        let lines = try Self.report(disk).lines(style: Style(isColored: true))
        #expect(lines[0] == "state: \u{1b}[31mdamaged\u{1b}[0m: a start is refused")
        #expect(lines.contains { $0.contains("\u{1b}[31munreadable\u{1b}[0m") })
        #expect(lines.contains { $0.contains("\u{1b}[33mbytes of no meaning\u{1b}[0m") })
    }

    @Test func hostileNames() throws {
        let scan = try Verification.verify(try SmallJournal.disk())
        let report = JournalReport("a\u{1b}[2J\nb", scan, names: ["\u{1b}.seg.damaged"], isBeingWritten: false)
        #expect(report.lines().allSatisfy { line in line.unicodeScalars.allSatisfy { $0.value >= 0x20 } })
    }

    @Test func entries() {
        let payload: [UInt8] = [1, 2, 3]
        let description = describe(kind: 7, payload: payload.span.bytes)
        #expect(description.text == "kind 7, 3 bytes")
        #expect(description.members == ["kind": .unsigned(7), "length": .unsigned(3)])
        let text = Array("hello \u{7f}world, and more".utf8)
        #expect(
            HexDump.line(text.span.bytes, at: 0)
                == "00000000  68 65 6c 6c 6f 20 7f 77 6f 72 6c 64 2c 20 61 6e  |hello .world, an|")
        let space = String(repeating: " ", count: 30)
        #expect(HexDump.line(text.span.bytes, at: 16) == "00000010  64 20 6d 6f 72 65\(space)  |d more|")
    }
}
