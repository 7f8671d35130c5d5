import StagewireModel

/// A stage as read, its inputs still by name.
struct StageDraft {
    var position: Position
    var definition: StageDefinition
    var inputs: [InputDraft] = []
    var isComplete = true
}

struct InputDraft {
    var stage: String
    var stagePosition: Position
    var port: String?
    var portPosition: Position
    var when: Predicate?
    var overflow: Overflow
}

extension Reader {
    static let pipelineKeys = ["pipeline", "durability", "limits", "socket", "stages"]

    mutating func pipeline(_ root: Value, directory: String) -> LoadedPipeline? {
        guard let fields = fields(root, "the pipeline", known: Self.pipelineKeys) else { return nil }
        var pipeline = PipelineDefinition(name: "", stages: [])
        if let value = fields["pipeline"] {
            pipeline.name = name(value, "`pipeline`") ?? ""
        } else {
            report(root.position, "the pipeline has no name", hint: "add `pipeline: <name>`")
        }
        pipeline.durability = durability(fields["durability"])
        pipeline.limits = fields["limits"].map { limits($0) } ?? PipelineLimits()
        let socket = fields["socket"].flatMap { socketPath($0, directory: directory) }
        guard let value = fields["stages"] else {
            report(root.position, "the pipeline has no stages", hint: "add `stages:` with at least a source")
            return nil
        }
        guard let drafts = stages(value, directory: directory) else { return nil }
        guard let stages = graph(drafts) else { return nil }
        pipeline.stages = stages
        checkWorkers(stages, at: value.position)
        checkParking(of: drafts, pipeline.limits)
        return LoadedPipeline(definition: pipeline, directory: directory, socketPath: socket)
    }

    /// Memory only, for the time being: a promise that is not kept is worse than none.
    private mutating func durability(_ value: Value?) -> Durability {
        guard let value, let durability: Durability = choice(value, "`durability`") else { return .memory }
        switch durability {
        case .memory: break
        case .disk, .relaxed:
            report(
                value.position, "`durability: \(durability.rawValue)` is not available in this version yet",
                hint: "write `durability: memory`: records then do not survive the broker")
        }
        return .memory
    }

    private mutating func socketPath(_ value: Value, directory: String) -> String? {
        guard let path = path(value, "`socket`") else { return nil }
        let full = joined(directory, path)
        guard full.utf8.count <= ConfigurationLimits.socketPath else {
            report(
                value.position, "`socket`: the path has \(full.utf8.count) bytes with its directory",
                hint: "a Unix socket's path has at most \(ConfigurationLimits.socketPath): choose a shorter one")
            return nil
        }
        return full
    }

    mutating func path(_ value: Value, _ what: String) -> String? {
        guard let path = text(value, what, expected: "a path") else { return nil }
        guard !path.isEmpty, !path.utf8.contains(0) else {
            report(value.position, "\(what): expected a path, found \(path.isEmpty ? "an empty text" : "a zero byte")")
            return nil
        }
        return path
    }

    private mutating func stages(_ value: Value, directory: String) -> [StageDraft]? {
        guard case .mapping(let entries) = value.content else {
            mismatch(
                value, "`stages`", expected: "a mapping of stages by their names",
                hint: "write `stages:`, then `  <name>:` and below it the stage's own keys")
            return nil
        }
        guard !entries.isEmpty, entries.count <= ConfigurationLimits.stages else {
            let count = entries.isEmpty ? "no" : "\(entries.count)"
            report(value.position, "`stages`: expected 1 to \(ConfigurationLimits.stages) stages, found \(count)")
            return nil
        }
        var drafts: [StageDraft] = []
        for entry in entries {
            _ = checkName(entry.key, at: entry.keyPosition, "stage")
            drafts.append(stage(entry, directory: directory))
        }
        return drafts
    }

    /// More workers than the broker has connections would wait for ever.
    private mutating func checkWorkers(_ stages: [StageDefinition], at position: Position) {
        let workers = stages.reduce(0) { $0 + ($1.launch == nil ? 0 : $1.workers) }
        if workers > Limits.connections {
            report(
                position, "the stages start \(workers) workers together, but the broker takes \(Limits.connections)",
                hint: "lower `workers` of some stages")
        }
    }

    /// A record that cannot be parked could never be retried. The parking of a stream is a quarter of its budget.
    private mutating func checkParking(of drafts: [StageDraft], _ limits: PipelineLimits) {
        let read = Set(drafts.flatMap { $0.inputs.map(\.stage) })
        for draft in drafts where read.contains(draft.definition.name) {
            let workers = draft.definition.maxWorkers
            guard limits.parkingBytes(workers: workers) < limits.maxRecord else { continue }
            let window = 4 * limits.maxRecord - workers * limits.maxStepBytes
            report(
                draft.position,
                "stage `\(draft.definition.name)`: one record of `max_record` (\(Quantity.text(limits.maxRecord))) would"
                    + " not fit into the parking of its stream (\(Quantity.text(limits.parkingBytes(workers: workers))))",
                hint: "set `limits.window_bytes` to \(Quantity.text(window)) or more, or lower `limits.max_record`")
        }
    }
}
