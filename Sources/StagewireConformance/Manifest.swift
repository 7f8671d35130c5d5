import Foundation
import Yams

/// What an implementation says of itself: `conformance.yaml` beside a worker.
///
/// ```yaml
/// command: [./worker]                # relative to the file's directory
/// build: go build -o worker .        # how to make it; run by hand or by whoever runs many
/// profiles: [core, source]
/// features: {transform: [single-threaded], window: [holds]}
/// known_failing: [credit-some-case]
/// ```
public struct ConformanceManifest: Sendable {
    public var command: [String]
    public var build: String
    public var profiles: Set<Profile>
    public var features: [String: Set<String>]?
    public var knownFailing: Set<String>
    public var directory: String

    /// - Throws: `CaseFault` with file and line.
    public init(path: String) throws(CaseFault) {
        let place = Place(file: path, line: 1, column: 1)
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
            throw CaseFault(place: place, message: "the file cannot be read")
        }
        let absolute = path.hasPrefix("/") ? path : "\(FileManager.default.currentDirectoryPath)/\(path)"
        directory = (absolute as NSString).deletingLastPathComponent
        let root: Node?
        do { root = try Yams.compose(yaml: text) } catch {
            throw CaseFault(place: place, message: "not YAML: \(error)")
        }
        guard let node = root, let mapping = node.mapping else {
            throw CaseFault(place: place, message: "a manifest is a mapping with `command` and `profiles`")
        }
        let known = ["command", "build", "profiles", "features", "known_failing"]
        for (key, _) in mapping where !known.contains(key.string ?? "") {
            let at = Place(file: path, line: key.mark?.line ?? 1, column: key.mark?.column ?? 1)
            throw CaseFault(place: at, message: "`\(key.string ?? "?")` is none of \(known.joined(separator: ", "))")
        }
        command = Self.texts(mapping["command"])
        guard !command.isEmpty else { throw CaseFault(place: place, message: "`command` is missing: a list of texts") }
        build = mapping["build"]?.string ?? ""
        profiles = []
        for name in Self.texts(mapping["profiles"]) {
            guard let profile = Profile(rawValue: name) else {
                throw CaseFault(place: place, message: "there is no profile `\(name)`")
            }
            profiles.insert(profile)
        }
        knownFailing = Set(Self.texts(mapping["known_failing"]))
        features = mapping["features"]?.mapping.map { list in
            Dictionary(list.map { ($0.key.string ?? "", Set(Self.texts($0.value))) }, uniquingKeysWith: { $1 })
        }
    }

    private static func texts(_ node: Node?) -> [String] {
        node?.sequence?.compactMap { $0.scalar?.string } ?? []
    }
}
