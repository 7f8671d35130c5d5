import Foundation
import Synchronization

/// All cases of a directory.
public struct Suite: Sendable {
    public var cases: [Case]

    /// - Parameter directory: `conformance`; its `cases` are read, in the order of their paths.
    /// - Throws: `CaseFault` for the first case that cannot be used.
    public init(directory: String) throws(CaseFault) {
        let root = "\(directory)/cases"
        let files = (FileManager.default.enumerator(atPath: root)?.allObjects as? [String] ?? [])
            .filter { $0.hasSuffix(".yaml") }.sorted()
        cases = []
        var seen: [String: Place] = [:]
        for file in files {
            let path = "\(root)/\(file)"
            guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
                throw CaseFault(
                    place: Place(file: path, line: 1, column: 1), message: "the file cannot be read as UTF-8")
            }
            for item in try CaseReader.read(text, file: path) {
                if let other = seen.updateValue(item.place, forKey: item.slug) {
                    throw CaseFault(place: item.place, message: "the case `\(item.slug)` stands at \(other) already")
                }
                cases.append(item)
            }
        }
    }

    /// - Parameter filter: a part of a slug, or the id of a rule; nil: all.
    public func selected(role: Role, profiles: Set<Profile>, filters: [String]) -> [Case] {
        cases.filter { item in
            item.role == role && profiles.contains(item.profile)
                && (filters.isEmpty || filters.contains { item.slug.contains($0) || item.rules.contains($0) })
        }
    }

    /// Runs cases, `options.jobs` at once, each in a directory of its own, which is removed when it has passed.
    /// With `options.stopsAtFirstFailure` none is begun once one has failed or crashed.
    ///
    /// - Parameter progress: is called from any thread, one call at a time, with each result as it comes.
    public static func run(
        _ cases: [Case], _ target: Target, _ options: RunOptions, progress: @Sendable (CaseResult) -> Void
    ) -> [CaseResult] {
        let next = Mutex(0)
        let results = Mutex([Int: CaseResult]())
        DispatchQueue.concurrentPerform(iterations: max(1, options.jobs)) { _ in
            while true {
                let index = next.withLock { value in
                    defer { value += 1 }
                    return value
                }
                guard index < cases.count else { return }
                // Short, for a socket's path has 107 bytes.
                let directory = "\(options.directory)/\(index)"
                let result = CaseRun.run(cases[index], target, options, directory: directory)
                if result.verdict == .pass || result.verdict == .skip {
                    try? FileManager.default.removeItem(atPath: directory)
                }
                results.withLock { all in
                    all[index] = result
                    progress(result)
                }
                if options.stopsAtFirstFailure, result.verdict == .fail || result.verdict == .crash {
                    next.withLock { $0 = cases.count }
                }
            }
        }
        return results.withLock { all in all.sorted { $0.key < $1.key }.map(\.value) }
    }
}

extension Suite {
    /// What a broker that runs already has to serve, for cases without a pipeline of their own.
    public static var brokerPipeline: String { CaseRun.pipeline }
}
