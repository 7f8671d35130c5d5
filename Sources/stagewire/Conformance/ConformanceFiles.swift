import Foundation
import StagewireConformance

/// Where the suite's cases and the protocol's text are.
enum ConformanceFiles {
    /// In this order: the environment's STAGEWIRE_CONFORMANCE, what `make install` puts beside the program, and the
    /// repository around the program or the working directory.
    static func directory() throws -> String {
        let environment = ProcessInfo.processInfo.environment
        if let named = environment["STAGEWIRE_CONFORMANCE"], !named.isEmpty { return named }
        let program = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        let beside = (program as NSString).deletingLastPathComponent
        var places = ["\(beside)/../share/stagewire/conformance"]
        for start in [beside, FileManager.default.currentDirectoryPath] {
            var folder = start
            while folder.count > 1 {
                places.append("\(folder)/conformance")
                folder = (folder as NSString).deletingLastPathComponent
            }
        }
        for place in places where FileManager.default.fileExists(atPath: "\(place)/cases") {
            return (place as NSString).standardizingPath
        }
        throw Failure(
            .environment, "the cases of the conformance suite are not here",
            hint: "set STAGEWIRE_CONFORMANCE to the directory `conformance` of Stagewire's repository")
    }

    static func suite() throws -> Suite {
        do { return try Suite(directory: directory()) } catch let fault as CaseFault {
            throw Failure(
                .usage,
                [
                    Problem(
                        code: "configuration", message: fault.message, file: fault.place.file, line: fault.place.line,
                        column: fault.place.column)
                ])
        }
    }

    static func rules() throws -> RuleBook {
        let directory = try directory()
        for path in ["\(directory)/../docs/PROTOCOL.md", "\(directory)/PROTOCOL.md"] {
            if let text = try? String(contentsOfFile: path, encoding: .utf8) { return RuleBook(document: text) }
        }
        throw Failure(.environment, "PROTOCOL.md is not beside the conformance suite in \(directory)")
    }
}

/// `--profile core,source`, or several times.
struct ProfileSelection {
    static func profiles(_ names: [String]) throws -> Set<Profile> {
        let words = names.flatMap { $0.split(separator: ",").map(String.init) }
        return try Set(
            words.map { word in
                guard let profile = Profile(rawValue: word) else {
                    let all = Profile.allCases.map(\.rawValue).joined(separator: ", ")
                    throw Failure(.usage, "there is no profile `\(word)`; there are \(all)", code: "usage")
                }
                return profile
            })
    }
}
