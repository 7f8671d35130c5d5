import Foundation
import StagewireDiskSimulation
import StagewireJournal
import Testing

@testable import StagewireBroker

/// `stagewire journal` on real directories: what it prints, how it ends, and what it leaves.
@Suite struct JournalCommandTests {
    /// A directory with a small journal in `state`, damaged by `harm`, which gets the paths of its three segments.
    private func withJournal(
        _ harm: ([String]) throws -> Void = { _ in }, _ body: (String) async throws -> Void
    ) async throws {
        try await Program.inDirectory("") { directory in
            try SmallJournal.write(to: try FileDisk.make(path: directory + "/state"))
            try harm(try Self.segments(directory))
            try await body(directory)
        }
    }

    private static func segments(_ directory: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: directory + "/state").sorted()
            .filter { JournalFormat.firstSequence(of: $0) != nil }.map { "\(directory)/state/\($0)" }
    }

    private static func flip(_ path: String, _ offset: Int) throws {
        var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
        bytes[offset] ^= 1
        try bytes.write(to: URL(fileURLWithPath: path))
    }

    private func journal(_ directory: String, _ arguments: String...) async throws -> Program.Result {
        try await Program(["journal"] + arguments, in: directory).wait()
    }

    @Test func intact() async throws {
        try await withJournal { directory in
            let text = try await journal(directory, "verify", "state")
            #expect(text.code == 0 && text.error == "")
            #expect(text.output.hasPrefix("state: intact: a start goes on with entry 16\n"))
            let envelope = try PrintedEnvelope(try await journal(directory, "verify", "--json", "state").output)
            #expect(envelope.isOK && envelope.command == "journal verify")
            #expect(envelope.result["entries"] as? Int == 15 && envelope.result["state"] as? String == "intact")
            let repair = try await journal(directory, "repair", "state", "--yes")
            #expect(repair.code == 0 && repair.output.hasSuffix("There is nothing to repair.\n"))
        }
    }

    /// From the report over the plan to the repair, which is not done twice.
    @Test func damageAndRepair() async throws {
        try await withJournal({ try Self.flip($0[1], 300) }) { directory in
            let before = try Self.segments(directory).map { try Data(contentsOf: URL(fileURLWithPath: $0)) }
            let verify = try await journal(directory, "verify", "state")
            #expect(verify.code == 1 && verify.error == "")
            #expect(verify.output.contains("unreadable  0000000000000007.seg  184..<352  8"))
            let envelope = try PrintedEnvelope(try await journal(directory, "verify", "state", "--json").output)
            #expect(envelope.codes == ["damaged"])
            let finding = try #require((envelope.result["findings"] as? [[String: Any]])?.first)
            #expect(finding["from"] as? Int == 184 && finding["to"] as? Int == 352)
            #expect(finding["loses_entries"] as? Bool == true)

            let plan = try await journal(directory, "repair", "state")
            #expect(plan.code == 1 && plan.output.contains("Nothing was changed"))
            let planned = try PrintedEnvelope(try await journal(directory, "repair", "state", "--json").output)
            #expect(planned.codes == ["damaged"] && planned.result["done"] as? Bool == false)
            let untouched = try Self.segments(directory).map { try Data(contentsOf: URL(fileURLWithPath: $0)) }
            #expect(before == untouched, "a plan changes nothing")

            let repair = try await journal(directory, "repair", "state", "--yes")
            #expect(repair.code == 0 && repair.output.hasPrefix("state: repaired\n"))
            let aside = try Data(contentsOf: URL(fileURLWithPath: directory + "/state/0000000000000007.seg.damaged"))
            #expect(aside == before[1], "all of it is kept")
            let again = try await journal(directory, "repair", "state", "--yes")
            #expect(again.code == 0 && again.output.contains("There is nothing to repair."))
            #expect(try await journal(directory, "verify", "state").code == 0)
        }
    }

    /// Nobody repairs what a broker has; looking at it is allowed, and says that it may be moving.
    @Test func besideAWriter() async throws {
        try await withJournal { directory in
            let disk = try FileDisk(path: directory + "/state")
            let writer = try JournalWriter.open(disk, SmallJournal.options)
            let verify = try await journal(directory, "verify", "state")
            #expect(verify.code == 0 && verify.output.hasPrefix("state: intact, and somebody is writing\n"))
            #expect(try await journal(directory, "inspect", "state", "--limit", "1").code == 0)
            for arguments in [[], ["--yes"]] {
                let program = try Program(["journal", "repair", "state", "--json"] + arguments, in: directory)
                let repair = try await program.wait()
                #expect(repair.code == 3 && repair.error.contains("somebody has this journal"))
                #expect(try PrintedEnvelope(repair.output).codes == ["in_use"])
            }
            _ = consume writer
            #expect(try await journal(directory, "repair", "state", "--yes").code == 0)
        }
    }

    @Test func inspect() async throws {
        try await withJournal { directory in
            let all = try await journal(directory, "inspect", "state")
            #expect(all.code == 0 && all.output.split(separator: "\n").count == 16)
            let some = try await journal(
                directory, "inspect", "state", "--from", "6", "--to", "7", "--bytes")
            #expect(
                some.output.split(separator: "\n").prefix(3).joined(separator: "\n").contains(
                    "         6         5  0000000000000001.seg"), "\(some.output)")
            #expect(some.output.contains("\n    00000000  65 6e 74 72 79 20 36 3a 20 67"))
            #expect(some.output.contains("\n         7         7  0000000000000007.seg         64  "))
            let envelope = try PrintedEnvelope(
                try await journal(directory, "inspect", "state", "--json", "--bytes", "--from", "3", "--limit", "2")
                    .output)
            #expect(envelope.list.map { $0["sequence"] as? Int } == [3, 4])
            let payload = SmallJournal.payload(4).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
            #expect(envelope.list.last?["payload"] as? String == "0x" + payload)
            #expect(envelope.list.last?["length"] as? Int == SmallJournal.payload(4).count)
            let beyond = try await journal(directory, "inspect", "state", "--from", "99", "--json")
            #expect(beyond.code == 2)
            #expect(try PrintedEnvelope(beyond.output).codes == ["not_found"])
        }
    }

    /// What is readable before the damage is listed, and the end says why there is no more.
    @Test func inspectDamage() async throws {
        try await withJournal({ try Self.flip($0[1], 300) }) { directory in
            let text = try await journal(directory, "inspect", "state")
            #expect(text.code == 1 && text.output.split(separator: "\n").count == 8)
            #expect(text.error.contains("from entry 8 on, at byte 184 of 0000000000000007.seg"))
            let envelope = try PrintedEnvelope(try await journal(directory, "inspect", "state", "--json").output)
            #expect(envelope.codes == ["damaged"] && envelope.list.count == 7)
            #expect(try await journal(directory, "inspect", "state", "--from", "14").code == 0, "a later segment")
        }
    }

    @Test func whatIsNoJournal() async throws {
        try await withJournal { directory in
            for command in ["verify", "inspect", "repair"] {
                let missing = try await journal(directory, command, "nowhere", "--json")
                #expect(missing.code == 3)
                #expect(try PrintedEnvelope(missing.output).codes == ["environment"])
                #expect(missing.error.contains("stagewire: cannot open nowhere: it is not there\n"))
                let other = try await journal(directory, command, ".", "--json")
                #expect(other.code == 3)
                #expect(try PrintedEnvelope(other.output).codes == ["no_journal"])
                #expect(try await journal(directory, command, "p.yaml").code == 3)
                #expect(try await journal(directory, command).code == 2)
            }
            #expect(try await journal(directory, "inspect", "state", "--from", "3", "--to", "2").code == 2)
        }
    }

    /// A run ends with a mark, so that damage to its last flush is not taken for a write that was cut short.
    @Test func theLastFlushIsMarked() async throws {
        try await Program.inDirectory(RunCommandTests.complete) { directory in
            let run = try await Program(["run", "p.yaml", "--socket", "s"], in: directory).wait()
            #expect(run.code == 0, "\(run.error)")
            let state = directory + "/.stagewire/test"
            let end = try #require(try Verification.verify(try FileDisk(path: state)).end)
            let segment = "\(state)/\(JournalFormat.segmentName(end.segment))"
            let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: segment)))
            // It has no place over the end of a sector: then another run may end elsewhere.
            guard end.offset % 512 <= 480 else { return }
            #expect(bytes[end.offset + 28] == 0xff && bytes[end.offset + 8] == UInt8(truncatingIfNeeded: end.sequence))
            try Self.flip(segment, end.offset - 9)
            #expect(try await journal(directory, "verify", state).code == 1)
        }
    }

    /// The format of a later version, with its checksum: nothing is said about what it holds, and nothing done to it.
    @Test func newerAndForeign() async throws {
        func rewrite(_ path: String, _ offset: Int) throws {
            var bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
            bytes[offset] += 1
            let sum = CRC32C.of(bytes.span.bytes.extracting(0..<60))
            for index in 0..<4 { bytes[60 + index] = UInt8(truncatingIfNeeded: sum >> (index * 8)) }
            try Data(bytes).write(to: URL(fileURLWithPath: path))
        }
        try await withJournal({ try rewrite($0[2], 8) }) { directory in
            for command in [["verify"], ["repair", "--yes"]] {
                let newer = try await Program(["journal"] + command + ["state", "--json"], in: directory).wait()
                #expect(newer.code == 3 && newer.error.contains("has format 3, and this program knows formats up to 2"))
                #expect(try PrintedEnvelope(newer.output).codes == ["newer_format"])
            }
        }
        try await withJournal({ try rewrite($0[1], 16) }) { directory in
            for command in [["verify"], ["repair", "--yes"]] {
                let foreign = try await Program(["journal"] + command + ["state", "--json"], in: directory).wait()
                #expect(foreign.code == 1 && foreign.error.contains("belongs to another pipeline"))
                #expect(try PrintedEnvelope(foreign.output).codes == ["foreign_pipeline"])
            }
            #expect(try Self.segments(directory).count == 3, "nothing was set aside")
        }
    }
}
