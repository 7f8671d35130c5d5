import ArgumentParser
import Glibc
import StagewireJournal

struct VerifyJournal: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Read a whole journal and name every damaged range of bytes.",
        discussion: """
            Changes nothing, and may be used beside a running broker. A write that a crash cut short is no damage: \
            nothing of it was confirmed, and the next start clears it. Bytes of no meaning, where no entry is missing, \
            are named and are no reason to refuse a start either; they may be the first sign of a failing disk.

            Exits 0 when a start would find everything that was confirmed, 1 when something is damaged or missing, 2 for a \
            wrong command line, 3 when the directory cannot be read, holds no journal, or one of a newer version.

            EXAMPLES:
              stagewire journal verify state
              stagewire journal verify state --json | jq '.result.findings'
            """)

    @OptionGroup var place: JournalPlace

    @Flag(help: "Print the report as JSON to standard output.")
    var json = false

    func run() throws {
        let disk = try place.open()
        let found = try disk.look()
        let report = JournalReport(
            place.directory, found.report, names: try disk.names(), isBeingWritten: found.isBeingWritten)
        if json {
            Output.json("journal verify", report, report.problems)
        } else {
            Output.text(report.lines(width: Terminal.outputWidth, style: .of(STDOUT_FILENO)).joined(separator: "\n"))
        }
        if report.state == .damaged { throw ExitStatus.runtime }
    }
}

extension Terminal {
    /// Columns that a table on standard output may take.
    static var outputWidth: Int { isTerminal(STDOUT_FILENO) ? width(STDOUT_FILENO) : .max }
}

extension FileDisk {
    func names() throws -> [String] {
        do { return try list() } catch { throw Failure(JournalError.disk(error)) }
    }
}
