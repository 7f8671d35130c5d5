import ArgumentParser
import Glibc
import StagewireJournal

struct RepairJournal: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "repair", abstract: "Make a damaged journal one that can be opened again.",
        discussion: """
            Keeps the entries before the first damage and sets everything behind them aside, in files that end in \
            .damaged and are no part of the journal any more. Nothing is deleted. Without --yes it only says what it would do.

            A journal that is not damaged is left as it is, and a repair that was interrupted is begun again. The broker \
            must not be running.

            Exits 0 when there is no damage (any more), 1 when there is and nothing was done, 2 for a wrong command line, 3 \
            when a broker runs, or the directory cannot be read or written.

            EXAMPLES:
              stagewire journal repair state
              stagewire journal repair state --yes
            """)

    @OptionGroup var place: JournalPlace

    @Flag(name: .shortAndLong, help: "Do it.")
    var yes = false

    @Flag(help: "Print what would be done, or was, as JSON to standard output.")
    var json = false

    func run() throws {
        let disk = try place.open()
        let report = yes ? try repair(disk) : try plan(disk)
        let problems = report.now.problems.map(advised)
        if json {
            Output.json("journal repair", report, problems)
        } else {
            Output.text(report.lines(width: Terminal.outputWidth, style: .of(STDOUT_FILENO)).joined(separator: "\n"))
        }
        if !problems.isEmpty { throw ExitStatus.runtime }
    }

    private func plan(_ disk: FileDisk) throws -> RepairReport {
        let found = try disk.look()
        // It was opened by whoever writes, so it is not damaged; and a plan for what changes would be of no use.
        if found.isBeingWritten {
            throw Failure(JournalError.inUse(lock: "\(place.directory)/\(JournalFormat.lockName)"))
        }
        return RepairReport(try now(disk, found.report), RepairPlan(found.report))
    }

    private func repair(_ disk: FileDisk) throws -> RepairReport {
        do {
            let repair = try Repair.run(disk)
            return RepairReport(repair, now: try now(disk, repair.report))
        } catch let error as JournalError {
            throw Failure(error)
        }
    }

    private func now(_ disk: FileDisk, _ report: ScanReport) throws -> JournalReport {
        JournalReport(place.directory, report, names: try disk.names(), isBeingWritten: false)
    }

    private func advised(_ problem: Problem) -> Problem {
        var problem = problem
        if !yes { problem.hint = "nothing was changed; with --yes it is repaired" }
        return problem
    }
}
