import ArgumentParser
import Foundation
import Glibc
import StagewireConformance

struct ConformanceRun: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Run the cases against a worker or a broker.",
        discussion: """
            The worker's command is started for every case with STAGEWIRE_SOCKET, STAGEWIRE_STAGE, STAGEWIRE_INSTANCE \
            and STAGEWIRE_TOKEN; STAGEWIRE_STAGE says which of the suite's stages it is to be. A worker that cannot be \
            started so dials the path of --attach by itself, again for every case. With --broker the command \
            starts a broker: {pipeline} and {socket} in it stand for paths; without a command it is this program; a \
            single path is the socket of a broker that runs `stagewire conformance list --pipeline`.

            Exits 0 when everything required passed, 1 when not, 2 when the command line or a case file is wrong.

            EXAMPLES:
              stagewire conformance run -- ./my-worker --verbose
              stagewire conformance run --manifest sdk-stubs/go/conformance/conformance.yaml
              stagewire conformance run --filter credit --known-failing failing.txt -- ./my-worker
              stagewire conformance run --broker -- ./my-broker --listen {socket} {pipeline}
            """)

    @Flag(help: "A broker is tested: the suite plays all workers.")
    var broker = false

    @Option(help: ArgumentHelp("Wait at this socket for a worker that somebody starts.", valueName: "path"))
    var attach: String?

    @Option(
        help: ArgumentHelp(
            "Take command, profiles and features from this file (conformance/README.md).", valueName: "file"),
        completion: .file())
    var manifest: String?

    @Option(help: ArgumentHelp("Profiles to be tested, such as core,source.", valueName: "names"))
    var profile: [String] = []

    @Option(help: ArgumentHelp("Features of a stage that Hello has, such as window=holds.", valueName: "stage=names"))
    var features: [String] = []

    @Option(help: ArgumentHelp("Only cases with this in their name, or of this rule.", valueName: "text"))
    var filter: [String] = []

    @Option(help: ArgumentHelp("Write a report: text, json, junit, tap or html.", valueName: "format"))
    var report: ReportFormat = .text

    @Option(help: ArgumentHelp("Where the report goes; standard output without it.", valueName: "file"))
    var output: String?

    @Option(
        name: .customLong("known-failing"),
        help: ArgumentHelp(
            "Cases that are known to fail, one on each line: they are run, and one that passes is an error.",
            valueName: "file"))
    var knownFailing: String?

    @Option(name: .customLong("time-scale"), help: ArgumentHelp("Multiply all waits.", valueName: "factor"))
    var timeScale = 1.0

    @Option(help: ArgumentHelp("Cases at once.", valueName: "count"))
    var jobs = 1

    @Option(help: ArgumentHelp("For cases that draw by chance.", valueName: "number"))
    var seed: UInt64 = 1

    @Flag(name: .customLong("fail-fast"), help: "Begin no more cases once one has failed.")
    var failFast = false

    @Flag(help: "The broker under test has Stagewire's control API, which some cases ask; this program's has.")
    var control = false

    @Flag(help: "Print one line for each case, passed ones too.")
    var verbose = false

    @Flag(help: "Print the result as JSON: the same as --report json.")
    var json = false

    @Argument(
        help: ArgumentHelp("With --broker: the socket of a broker that runs already.", valueName: "socket"),
        completion: .file())
    var socket: String?

    @Argument(parsing: .postTerminator, help: ArgumentHelp("Behind --: what is to be tested.", valueName: "command"))
    var command: [String] = []

    func validate() throws {
        guard timeScale > 0, timeScale <= 1000 else {
            throw ValidationError("--time-scale is above 0 and at most 1000.")
        }
        guard jobs >= 1, jobs <= 256 else { throw ValidationError("--jobs is 1 to 256.") }
        if attach != nil, broker { throw ValidationError("--attach is for workers, --broker for brokers.") }
        if let socket, !broker {
            throw ValidationError("the command under test stands behind --: stagewire conformance run -- \(socket)")
        }
        if socket != nil, !command.isEmpty {
            throw ValidationError("a broker's socket and a command exclude each other.")
        }
    }

    func run() throws {
        var plan = try ConformancePlan(self)
        let directory = try Self.scratch()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        plan.options.directory = directory
        let format = json ? .json : report
        let reporter = ConformanceReporter(plan, format: format, verbose: verbose, total: plan.cases.count)
        let known = plan.knownFailing
        let results = Suite.run(plan.cases, plan.target, plan.options) { reporter.add($0, knownFailing: known) }
        let judged = results.map { result in
            var judged = result
            judged.isKnownFailing = known.contains(result.slug)
            return judged
        }
        try reporter.conclude(judged, to: output)
        if !judged.allSatisfy(\.isAsExpected) { throw ExitStatus.runtime }
    }

    /// Under /tmp, whatever TMPDIR says: sockets' paths have to be short.
    private static func scratch() throws -> String {
        var template = Array("/tmp/stagewire-conformance.XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else {
            throw Failure(.environment, "no directory in /tmp: \(String(cString: strerror(errno)))")
        }
        return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

enum ReportFormat: String, ExpressibleByArgument, CaseIterable {
    case text
    case json
    case junit
    case tap
    case html
}
