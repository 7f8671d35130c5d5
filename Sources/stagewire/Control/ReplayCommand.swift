import ArgumentParser
import Foundation
import Glibc
import StagewireBroker
import StagewireConfig
import StagewireControl
import StagewireLedger
import StagewireRecord

struct ReplayCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay", abstract: "Have a stage get records once more that it has settled.",
        discussion: """
            The stage goes back in one of its inputs and gets everything from there on again, in order, beside what is new. \
            They are the same records: what stages derive from them has the ids of the first time, by which whoever stores \
            it can tell. What the pipeline keeps for this is set by `retention` in its file.

            While the pipeline runs, it begins as soon as the stage's workers have settled what they hold. When it does \
            not run, its next run begins with it; for that --pipeline has to be the file.

            EXAMPLES:
              stagewire replay score --from 2h
              stagewire replay score --from 2026-11-28T09:30:00Z --dry-run | ./score --test -
              stagewire replay archive --from beginning --input score.alerts --pipeline sensors.yaml

            Exits 0 when it will be done, 1 when nothing (any more) can be replayed from there, 2 for a wrong command line or \
            file, 3 when the state cannot be read or belongs to somebody else.
            """)

    @Argument(help: "The stage.")
    var stage: String

    @Option(
        help: ArgumentHelp(
            "Where it begins: `beginning`, the number of a record in its stream, a time such as 2026-11-28T09:30:00Z, or "
                + "90m for ninety minutes ago.", valueName: "place"))
    var from: ReplayPlace

    @Option(
        help: ArgumentHelp(
            "Which input of the stage: the stage or stage.port that it reads, with #2 for the second that reads the same.",
            valueName: "stream"))
    var input: String?

    @Flag(
        help: "Print the records instead, one JSON object a line, as a stage's --test reads them. Nothing is changed.")
    var dryRun = false

    @Option(help: ArgumentHelp("With --dry-run: print so many records at most.", valueName: "count"))
    var limit: Int?

    @OptionGroup var choice: PipelineOption

    @Option(
        help: ArgumentHelp("The state directory, if it is not where the file says.", valueName: "directory"),
        completion: .directory)
    var state: String?

    @Flag(help: "Print what will be done as JSON to standard output.")
    var json = false

    func validate() throws {
        if let limit, limit < 0 { throw ValidationError("--limit is a number of records, 0 or more.") }
        guard limit == nil || dryRun else { throw ValidationError("--limit is for --dry-run.") }
        guard !(json && dryRun) else { throw ValidationError("--dry-run prints JSON anyway: leave out --json.") }
    }

    func run() async throws {
        try await reporting {
            do {
                try await (dryRun ? rehearse() : replay())
            } catch let refusal as ReplayRefusal {
                throw Failure(.runtime, refusal.what, hint: refusal.hint)
            } catch let error as EnvironmentError {
                throw Failure(.environment, "\(error)")
            } catch let flaw as LedgerFlaw {
                throw Failure(.runtime, "the state is intact and cannot be understood: \(flaw)")
            }
        }
    }

    // MARK: Doing it

    private func replay() async throws {
        if state == nil {
            do {
                let answer = try await choice.client().replay(from.request(stage: stage, input: input))
                if json { return Output.json("replay", answer) }
                return Output.text(Self.sentence(answer))
            } catch let failure as ControlFailure where failure.isGone && choice.isFile {}
        }
        let (pipeline, stored) = try offline()
        let range = try stored.replay(pipeline.definition, stage: stage, input: input, from: from.start)
        let answer = ReplayAnswer(
            stage: stage, input: "\(range.stream)", from: range.from, records: range.until - range.from, waitsFor: 0)
        if json { return Output.json("replay", answer) }
        Output.text("The pipeline does not run; its next run begins with this. " + Self.sentence(answer))
    }

    static func sentence(_ answer: ReplayAnswer) -> String {
        let records = Figures.count(Int(clamping: answer.records), "record")
        let start = "\(answer.stage) gets \(records) of \(answer.input) again, from number \(answer.from) on"
        guard answer.waitsFor > 0 else { return start + "." }
        let held =
            answer.waitsFor == 1
            ? "the record that its workers have is" : "the \(answer.waitsFor) records that its workers have are"
        return start + ", as soon as \(held) settled."
    }

    private func offline() throws -> (LoadedPipeline, StoredState) {
        guard choice.isFile, let file = choice.pipeline else {
            throw Failure(
                .usage, "the state directory alone does not say what the pipeline is",
                hint: "give the pipeline's file: --pipeline pipeline.yaml")
        }
        let pipeline = try PipelineFile.load(path: file)
        guard pipeline.definition.durability != .memory else {
            throw ReplayRefusal(what: "a pipeline with durability: memory keeps nothing that could be replayed")
        }
        return (
            pipeline,
            StoredState(
                pipeline: pipeline.definition.name, directory: state ?? pipeline.stateDirectory,
                base: pipeline.directory)
        )
    }

    // MARK: Printing

    private func rehearse() async throws {
        let (name, stored) = try await place()
        var left = limit ?? .max
        _ = try stored.rehearse(pipeline: name, stage: stage, input: input, from: from.start) { record, ledger in
            guard left > 0 else { return false }
            left -= 1
            let line = StoredRecordText(record: record, ledger: ledger).line + [UInt8(ascii: "\n")]
            // A reader that has seen enough, like `head`, is no error.
            return (try? FileHandle.standardOutput.write(contentsOf: Data(line))) != nil && left > 0
        }
    }

    /// The pipeline's name and its state, of a file or of what runs.
    private func place() async throws -> (String, StoredState) {
        if choice.isFile {
            let (pipeline, stored) = try offline()
            return (pipeline.definition.name, stored)
        }
        let status = try await choice.client().status()
        guard let path = state ?? status.stateDirectory else {
            throw ReplayRefusal(what: "a pipeline with durability: memory keeps nothing that could be replayed")
        }
        return (status.pipeline, StoredState(path: path))
    }
}

/// `--from`.
enum ReplayPlace: ExpressibleByArgument, Equatable {
    case beginning
    case sequence(UInt64)
    case time(PointInTime)

    init?(argument: String) {
        if argument == "beginning" {
            self = .beginning
        } else if argument.utf8.allSatisfy({ (48...57).contains($0) }), let sequence = UInt64(argument) {
            self = .sequence(sequence)
        } else if let time = PointInTime(argument: argument), time.microseconds >= 0 {
            self = .time(time)
        } else {
            return nil
        }
    }

    var start: ReplayStart {
        switch self {
        case .beginning: .beginning
        case .sequence(let sequence): .sequence(sequence)
        case .time(let time): .time(UInt64(time.microseconds))
        }
    }

    func request(stage: String, input: String?) -> ReplayRequest {
        switch self {
        case .beginning: ReplayRequest(stage: stage, input: input, beginning: true)
        case .sequence(let sequence): ReplayRequest(stage: stage, input: input, sequence: sequence)
        case .time(let time): ReplayRequest(stage: stage, input: input, time: time.text)
        }
    }
}

extension PipelineOption {
    /// Whether it names a file.
    var isFile: Bool { pipeline.map(PipelineLocator.isFile) ?? false }
}
