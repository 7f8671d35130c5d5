import StagewireModel

/// What `run` says first.
enum Banner {
    static func text(_ pipeline: PipelineDefinition, socketPath: String) -> String {
        var lines = [
            "\(Version.text)",
            "  pipeline    \(pipeline.name)",
            "  socket      \(socketPath)",
            "  durability  \(pipeline.durability.rawValue)\(meaning(pipeline.durability))",
        ]
        for (index, stage) in pipeline.stages.enumerated() {
            lines.append((index == 0 ? "  stages      " : "              ") + line(stage, in: pipeline))
        }
        return lines.joined(separator: "\n")
    }

    private static func line(_ stage: StageDefinition, in pipeline: PipelineDefinition) -> String {
        let upstream = stage.inputs.map { input in
            let from = pipeline.stages[input.stage]
            return from.ports.count == 1 ? from.name : "\(from.name).\(from.ports[input.port])"
        }
        let inputs = upstream.isEmpty ? "" : " < \(upstream.joined(separator: ", "))"
        let workers = stage.launch == nil ? "started by somebody else" : "\(stage.workers) x \(command(stage))"
        return "\(stage.name)\(inputs)  (\(workers))"
    }

    private static func command(_ stage: StageDefinition) -> String {
        (stage.launch?.command ?? []).joined(separator: " ")
    }

    private static func meaning(_ durability: Durability) -> String {
        switch durability {
        case .memory: " (what is in flight does not survive the broker)"
        case .relaxed, .disk: ""
        }
    }
}
