import ArgumentParser
import Glibc
import StagewireJournal
import StagewireWire

struct JournalCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "journal",
        abstract: "Check, look into and repair the journal of a pipeline with durability: disk.",
        discussion: """
            The journal is the directory that `stagewire run` names as `state`; docs/JOURNAL_FORMAT.md describes its files.

            EXAMPLES:
              stagewire journal verify state
              stagewire journal inspect state --from 100 --limit 10
              stagewire journal repair state
            """,
        subcommands: [VerifyJournal.self, InspectJournal.self, RepairJournal.self])
}

/// The directory that a command is about.
struct JournalPlace: ParsableArguments {
    @Argument(
        help: ArgumentHelp("The state directory, which holds the segments.", valueName: "directory"),
        completion: .directory)
    var directory: String

    /// Opens it. What has never held a journal is a mistake, not an empty journal: a check of the wrong directory that finds nothing
    /// wrong would be worse than none.
    func open() throws -> FileDisk {
        do {
            let disk = try FileDisk(path: directory)
            let names = try disk.list()
            if names.contains(where: { JournalFormat.firstSequence(of: $0) != nil || $0 == JournalFormat.lockName }) {
                return disk
            }
        } catch {
            throw Failure(JournalError.disk(error))
        }
        throw Failure(
            .environment, "there is no journal in \(Text.escaped(directory))",
            hint: "the directory is the one that `stagewire run` names as `state`", code: "no_journal")
    }

    static func hint(_ error: DiskError) -> String? {
        switch error.cause {
        case .denied: "run the command as the user who runs the pipeline, or as root"
        case .missing where error.operation == .open, .other where error.operation == .open:
            "the directory is the one that `stagewire run` names as `state`"
        case .other where error.operation == .read:
            "when the disk fails, copy the directory with a tool that reads around bad sectors, and repair the copy"
        case .missing, .exists, .noSpace, .readOnly, .inUse, .other: nil
        }
    }
}

extension FileDisk {
    /// Whether a broker, or a repair, has the journal.
    func isBeingWritten() throws -> Bool {
        do { return try isLocked(JournalFormat.lockName) } catch { throw Failure(JournalError.disk(error)) }
    }

    /// How long a writer has to get on between two looks.
    static func waitForWriter() { usleep(200_000) }

    /// Everything that is wrong; with what somebody is writing at this moment left alone.
    /// - Returns: what was found, and whether somebody writes.
    func look() throws -> (report: ScanReport, isBeingWritten: Bool) {
        do {
            if try !isBeingWritten() {
                let report = try Verification.verify(self)
                // Somebody may have begun meanwhile.
                let isBeingWritten = try self.isBeingWritten()
                if report.findings.isEmpty || !isBeingWritten { return (report, isBeingWritten) }
            }
            return (try Verification.verifyBesideWriter(self, pause: Self.waitForWriter), true)
        } catch let error as JournalError {
            throw Failure(error)
        }
    }
}

extension Failure {
    /// Why nothing can be said about a journal, or nothing done to it.
    init(_ error: JournalError) {
        switch error {
        case .disk(let problem):
            self.init(.environment, Text.escaped(problem.message), hint: JournalPlace.hint(problem))
        case .inUse(let lock):
            self.init(
                .environment, "somebody has this journal, a broker or another repair: \(Text.escaped(lock)) is held",
                hint: "stop the pipeline first: `stagewire stop`", code: "in_use")
        case .foreignPipeline(let segment, let found, let expected):
            self.init(
                .runtime, "\(segment) belongs to another pipeline (\(found)) than the segments before it (\(expected))",
                hint: "a start is refused: move the files of one of them to a directory of its own",
                code: "foreign_pipeline")
        case .newerFormat(let segment, let version):
            self.init(
                .environment,
                "\(segment) has format \(version), and this program knows formats up to \(JournalFormat.version)",
                hint: "use the version of stagewire that wrote it, or a newer one", code: "newer_format")
        case .full(.disk(let problem)):
            self.init(
                .environment, Text.escaped(problem.message),
                hint: "a repair copies the segment that it cuts: make room and repeat it; what is done stays done")
        case .notRetained(let sequence, let first):
            let kept = first.map { "the journal begins with \($0)" } ?? "the journal has no entries"
            self.init(
                .usage, "there is no entry \(sequence): \(kept)",
                hint: "`stagewire journal verify` says which entries there are", code: "not_found")
        case .damaged(let findings):
            self.init(
                .runtime, findings.map(Self.words).joined(separator: "; "),
                hint: "`stagewire journal verify` says what exactly is damaged, and what can still be read",
                code: "damaged")
        case .full, .poisoned, .notThere: self.init(.runtime, error.message)
        }
    }

    /// A reader that meets damage knows where it begins, and no more.
    private static func words(_ finding: Finding) -> String {
        guard finding.kind == .entries, let first = finding.first else { return finding.message }
        return
            "the journal is damaged from entry \(first) on, at byte \(finding.range.lowerBound) of \(finding.segment)"
    }
}
