import Foundation
import StagewireConformance

/// What a run of the suite is: the command line and the manifest, put together and checked.
struct ConformancePlan {
    var cases: [Case]
    var target: Target
    var options: RunOptions
    var knownFailing: Set<String> = []

    init(_ arguments: ConformanceRun) throws {
        let suite = try ConformanceFiles.suite()
        let manifest = try arguments.manifest.map(ConformanceManifest.init(path:))
        options = RunOptions(directory: "")
        options.timeScale = arguments.timeScale
        options.jobs = arguments.jobs
        options.seed = arguments.seed
        options.stopsAtFirstFailure = arguments.failFast
        options.features = try Self.features(arguments.features) ?? manifest?.features
        target = try Self.target(arguments, manifest)
        // Only where another broker is named may the control API be missing.
        options.hasControl = arguments.control || arguments.command.isEmpty && arguments.socket == nil
        var profiles = try ProfileSelection.profiles(arguments.profile)
        if profiles.isEmpty { profiles = manifest?.profiles ?? [] }
        if profiles.isEmpty { profiles = target.role == .worker ? [.core] : Set(Profile.allCases) }
        cases = suite.selected(role: target.role, profiles: profiles, filters: arguments.filter)
        if cases.isEmpty { throw Failure(.usage, "no case is left to be run", code: "usage") }
        if let file = arguments.knownFailing { knownFailing = try Self.knownFailing(file, suite) }
        knownFailing.formUnion(manifest?.knownFailing ?? [])
    }

    private static func target(_ arguments: ConformanceRun, _ manifest: ConformanceManifest?) throws -> Target {
        let command = arguments.command
        if arguments.broker {
            if let socket = arguments.socket {
                guard isSocket(socket) else {
                    throw Failure(.environment, "there is no socket at \(socket)", hint: "a command stands behind --")
                }
                return .runningBroker(socket: socket)
            }
            return .broker(command: command.isEmpty ? try own() : command, directory: nil)
        }
        if let path = arguments.attach { return .attachedWorker(socket: path) }
        if !command.isEmpty { return .worker(command: command, directory: nil) }
        if let manifest { return .worker(command: manifest.command, directory: manifest.directory) }
        throw Failure(
            .usage, "what is to be tested is missing", hint: "stagewire conformance run -- ./my-worker", code: "usage")
    }

    /// This program's own broker.
    private static func own() throws -> [String] {
        let program = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        return [program, "run", "--quiet", "--socket", "{socket}", "{pipeline}"]
    }

    private static func isSocket(_ path: String) -> Bool {
        let type = try? FileManager.default.attributesOfItem(atPath: path)[.type] as? FileAttributeType
        return type == .typeSocket
    }

    private static func features(_ options: [String]) throws -> [String: Set<String>]? {
        guard !options.isEmpty else { return nil }
        var features: [String: Set<String>] = [:]
        for option in options {
            let parts = option.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2 else {
                throw Failure(.usage, "`\(option)`: write it as --features STAGE=NAME,NAME", code: "usage")
            }
            features[String(parts[0])] = Set(parts[1].split(separator: ",").map(String.init))
        }
        return features
    }

    private static func knownFailing(_ file: String, _ suite: Suite) throws -> Set<String> {
        guard let text = try? String(contentsOfFile: file, encoding: .utf8) else {
            throw Failure(.usage, "cannot read \(file)", code: "usage")
        }
        var slugs: Set<String> = []
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let slug = line.prefix { $0 != "#" }.trimmingCharacters(in: .whitespaces)
            guard !slug.isEmpty else { continue }
            guard suite.cases.contains(where: { $0.slug == slug }) else {
                throw Failure(
                    .usage,
                    [Problem(code: "usage", message: "there is no case `\(slug)`", file: file, line: index + 1)])
            }
            slugs.insert(slug)
        }
        return slugs
    }
}
