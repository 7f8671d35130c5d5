import StagewireConfig
import StagewireModel
import StagewireTestSupport
import Testing

typealias Random = SplitMix64

extension SplitMix64 {
    mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &self) < percent }
    mutating func pick<Element>(_ elements: [Element]) -> Element { elements.randomElement(using: &self)! }
}

func parse(_ text: String) throws(ConfigurationErrors) -> LoadedPipeline {
    try PipelineFile.parse(text, name: "test.yaml", directory: "/srv/p")
}

/// The stages of a pipeline with these lines under `stages:`.
func stages(_ lines: String) throws(ConfigurationErrors) -> [StageDefinition] {
    let indented = lines.split(separator: "\n").map { "  " + $0 }.joined(separator: "\n")
    return try parse("pipeline: p\nstages:\n" + indented + "\n").definition.stages
}

/// What is wrong with a text, or "" for nothing.
func complaint(_ text: String) -> String {
    do {
        _ = try parse(text)
        return ""
    } catch {
        return error.description
    }
}
