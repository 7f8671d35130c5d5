import StagewireDiskSimulation
import StagewireJournal

/// Takes an input for a journal of one or two segments on a disk in memory, and does everything with it that a start, a reader and
/// a repair do. A finding is a trap, a sanitizer's report, or one of these untrue:
///
/// - No entry is served whose checksum, place in the sequence or predecessor is wrong, by an account of its own.
/// - A reader serves what a scan serves, and goes no further.
/// - What is not damaged is opened, and appended to; what is damaged is refused, and a repair makes it one that is opened, with
///   the same entries as before.
///
/// An input is a byte of flags, the size of the first of two segments in units of 8 bytes, and the files. The flags:
///
/// - 1: headers get magic, version and checksum.
/// - 2: entries get their checksum, as far as their lengths lead, and
/// - unless 8: the sequence and the predecessor that they should have.
/// - 4: there are two segments.
/// - 16: headers say that the segment was another one before.
struct JournalFuzzer {
    /// No disk has room for what a header may claim.
    private static let room = 1 << 16

    func run(_ input: [UInt8]) {
        guard input.count > 2 else { return }
        let disk = ForgedJournal(input).disk()
        let account = JournalAccount(disk)
        let found: (report: ScanReport, entries: [JournalAccount.Entry])
        do { found = try scan(disk, account) } catch {
            // The only two things that are said instead of a report.
            switch error {
            case .newerFormat, .foreignPipeline: return
            case _: preconditionFailure("a scan fails with \(error.message)")
            }
        }
        check(found.report, on: disk)
        read(disk, account, found.entries)
        repair(disk, found.report, found.entries)
    }

    private func scan(_ disk: MemoryDisk, _ account: JournalAccount) throws(JournalError) -> (
        report: ScanReport, entries: [JournalAccount.Entry]
    ) {
        var entries: [JournalAccount.Entry] = []
        let report = try Verification.verify(disk) { header, position, payload in
            let entry = JournalAccount.Entry(header, position, payload)
            account.check(entry, after: entries.last)
            entries.append(entry)
        }
        return (report, entries)
    }

    /// What a report says can be pointed at.
    private func check(_ report: ScanReport, on disk: MemoryDisk) {
        for finding in report.findings {
            let size = disk.bytes(of: finding.segment).count
            let capacity = report.segments.first { $0.name == finding.segment }?.capacity ?? 0
            precondition(disk.fileNames.contains(finding.segment), "a finding is in a file that there is")
            precondition(finding.range.upperBound <= max(size, capacity), "and within it")
            precondition(!finding.message.isEmpty, "and has words")
        }
        precondition(
            report.isDamaged == !RepairPlan(report).steps.isEmpty, "damage can be repaired, and nothing else is")
    }

    private func read(_ disk: MemoryDisk, _ account: JournalAccount, _ expected: [JournalAccount.Entry]) {
        guard let first = expected.first?.header.sequence else { return }
        var seen: [JournalAccount.Entry] = []
        do throws(JournalError) {
            var reader = try JournalReader.open(disk, from: first)
            while let header = try reader.advance() {
                guard let position = reader.position else { preconditionFailure("what was read has a place") }
                let entry = reader.withPayload { JournalAccount.Entry(header, position, $0) }
                account.check(entry, after: seen.last)
                seen.append(entry)
            }
        } catch {
            guard case .damaged = error else { preconditionFailure("a reader fails with \(error.message)") }
        }
        precondition(seen == expected, "a reader serves what a scan serves")
    }

    private func repair(_ disk: MemoryDisk, _ report: ScanReport, _ entries: [JournalAccount.Entry]) {
        disk.capacity = Self.room
        if report.isDamaged {
            do throws(JournalError) {
                _ = try open(disk, report)
                preconditionFailure("damage is refused")
            } catch {
                guard case .damaged = error else { preconditionFailure("opening fails with \(error.message)") }
            }
        }
        do throws(JournalError) {
            let repair = try Repair.run(disk)
            precondition(!repair.report.isDamaged && repair.asides.count == repair.plan.steps.count, "a repair repairs")
            let account = JournalAccount(disk)
            let after = try scan(disk, account)
            precondition(after.entries == entries, "and keeps what could be served")
            var writer = try open(disk, report)
            let next = writer.next
            precondition(entries.isEmpty || next == entries[entries.count - 1].header.sequence + 1, "goes on behind it")
            let payload: [UInt8] = [1, 2, 3]
            writer.append(kind: 1, payload.span.bytes)
            _ = try writer.flush()
            _ = consume writer
            let last = try scan(disk, JournalAccount(disk))
            precondition(!last.report.isDamaged && last.entries.count == entries.count + 1, "and what follows is found")
            precondition(last.entries.last?.payload == payload, "as it was appended")
        } catch {
            // A file of the size that a header claims cannot be had.
            guard case .full = error else { preconditionFailure("a repair fails with \(error.message)") }
        }
        precondition(disk.openFiles == 0, "every file is closed")
    }

    private func open(_ disk: MemoryDisk, _ report: ScanReport) throws(JournalError) -> JournalWriter<MemoryDisk> {
        let identity = report.identity ?? JournalIdentity(high: 1, low: 2)
        return try JournalWriter.open(disk, JournalOptions(identity: identity, nonce: 9, segmentBytes: 1024))
    }
}
