/// Why no input of a stage can be told from what a person said.
public enum InputProblem: Error, Equatable, Sendable {
    case unknownStage(String)
    /// It reads no stage.
    case isSource(stage: String)
    /// Nothing was said, and there are these.
    case several(stage: String, inputs: [String])
    case doesNotRead(stage: String, input: String, inputs: [String])

    public var what: String {
        switch self {
        case .unknownStage(let stage): "there is no stage \(stage)"
        case .isSource(let stage): "stage \(stage) is a source and reads no stage"
        case .several(let stage, _): "stage \(stage) has several inputs"
        case .doesNotRead(let stage, let input, _): "stage \(stage) does not read \(input)"
        }
    }
}

extension SubscriptionName {
    /// What a person calls it among the stage's inputs: `stage` or `stage.port`, and `#2` for the second one that reads the
    /// same.
    public var input: String { "\(stream)" + (ordinal == 0 ? "" : "#\(ordinal + 1)") }
}

extension Layout {
    /// The number of the subscription that a person means.
    /// - Parameter input: as `SubscriptionName.input`; nil: the stage's only one
    public func subscription(stage: String, input: String?) throws(InputProblem) -> Int {
        let numbers = subscriptions.indices.filter { subscriptions[$0].stage == stage }
        let inputs = numbers.map { subscriptions[$0].input }
        guard !numbers.isEmpty else {
            throw stages.contains(stage) ? .isSource(stage: stage) : .unknownStage(stage)
        }
        guard let input else {
            guard numbers.count == 1 else { throw .several(stage: stage, inputs: inputs) }
            return numbers[0]
        }
        guard let index = inputs.firstIndex(of: input) else {
            throw .doesNotRead(stage: stage, input: input, inputs: inputs)
        }
        return numbers[index]
    }
}
