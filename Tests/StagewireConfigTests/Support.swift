import StagewireConfig
import StagewireModel
import Testing

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers for the same seed, everywhere.
struct Random: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

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
