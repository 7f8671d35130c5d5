import ArgumentParser
import Foundation
import StagewireBroker
import StagewireConfig
import StagewireControl

/// Which running pipeline a command is about.
struct PipelineChoice: ParsableArguments {
    @Argument(
        help: ArgumentHelp(
            "The pipeline: its file, or its name. Without it, the only one that runs.", valueName: "pipeline"))
    var pipeline: String?

    @OptionGroup var place: ControlPlace

    func client() async throws -> ControlClient { try await place.client(pipeline) }
}

/// The socket itself, for a pipeline that listens at another place than its file says.
struct ControlPlace: ParsableArguments {
    @Option(help: ArgumentHelp("The control socket, wherever the pipeline listens.", valueName: "path"))
    var control: String?

    func client(_ pipeline: String?) async throws -> ControlClient {
        guard control == nil || pipeline == nil else {
            throw ControlFailure("both a pipeline and --control are given", hint: "give one of them", status: .usage)
        }
        if let control { return ControlClient(path: control) }
        let locator = PipelineLocator(environment: ProcessInfo.processInfo.environment)
        return ControlClient(path: try await locator.controlPath(pipeline))
    }
}

/// Finds the control socket of a pipeline by its file, by its name, or because no other runs.
struct PipelineLocator {
    var environment: [String: String]

    func controlPath(_ pipeline: String?) async throws -> String {
        guard let pipeline else { return try await onlyOne() }
        return ControlAPI.socketPath(besides: try Self.isFile(pipeline) ? socket(ofFile: pipeline) : standard(pipeline))
    }

    static func isFile(_ text: String) -> Bool {
        text.contains("/") || text.hasSuffix(".yaml") || text.hasSuffix(".yml")
    }

    private func socket(ofFile file: String) throws -> String {
        let loaded = try PipelineFile.load(path: file)
        return loaded.socketPath ?? standard(loaded.definition.name)
    }

    private func standard(_ name: String) -> String {
        StandardPlace.socketPath(pipeline: name, environment: environment)
    }

    // MARK: Without a name

    private static let suffix = ".control.sock"

    private func onlyOne() async throws -> String {
        let directory = StandardPlace.directory(environment: environment)
        let entries = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        var live: [String] = []
        for entry in entries.sorted() where entry.hasSuffix(Self.suffix) {
            if await isLive("\(directory)/\(entry)") { live.append(String(entry.dropLast(Self.suffix.count))) }
        }
        switch live.count {
        case 1: return "\(directory)/\(live[0])\(Self.suffix)"
        case 0:
            throw ControlFailure(
                "no pipeline runs in \(directory)",
                hint: "start one with `stagewire run`; if it listens elsewhere, name its file or give --control")
        default:
            throw ControlFailure(
                "\(live.count) pipelines run: \(live.joined(separator: ", "))", hint: "name the one that you mean",
                status: .usage)
        }
    }

    /// Sockets of brokers that died are left over, and refuse.
    private func isLive(_ path: String) async -> Bool {
        var client = ControlClient(path: path)
        client.patience = .seconds(2)
        return (try? await client.information()) != nil
    }
}
