import Foundation
import StagewireStage

/// The stages of `conformance/README.md`; STAGEWIRE_STAGE says which one to be.
@main struct Conformance {
    static let stages: [String: Stage] = ["transform": transform, "source": source, "window": window]

    static func main() async {
        let name = ProcessInfo.processInfo.environment["STAGEWIRE_STAGE"] ?? ""
        guard let stage = stages[name] else {
            let known = stages.keys.sorted().joined(separator: ", ")
            Worker.complain("there is no stage “\(name)” here: STAGEWIRE_STAGE is one of \(known)")
            exit(2)
        }
        await Worker.run(stage)
    }

    static let transform = Stage.asyncTransform(configuration: RawConfiguration.self) { configuration in
        { record, out in
            for text in Script.split(record.payload) {
                try await Directive(text).perform(on: record, &out, configuration.json)
            }
        }
    }
}

enum Script {
    static func split(_ payload: [UInt8]) -> [String] {
        guard !payload.isEmpty else { return [] }
        return payload.split(separator: UInt8(ascii: ";"), omittingEmptySubsequences: false).map {
            String(decoding: $0, as: UTF8.self)
        }
    }
}
