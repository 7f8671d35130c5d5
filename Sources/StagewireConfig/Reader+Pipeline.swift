import StagewireModel

/// A stage as read, its inputs still by name.
struct StageDraft {
    var position: Position
    var definition: StageDefinition
    var inputs: [InputDraft] = []
    var isComplete = true
}

struct InputDraft {
    var stage: Located<String>
    /// The first of the stage's ports, if absent.
    var port: Located<String>?
    var when: Predicate?
    /// The stage's own, if absent.
    var overflow: Overflow?
}

extension Reader {
    mutating func pipeline(_ root: Value, directory: String) -> LoadedPipeline? {
        guard let fields = fields(root, "the pipeline", known: PipelineKeys.all) else { return nil }
        var pipeline = PipelineDefinition(name: "", stages: [])
        if fields[PipelineKeys.pipeline] == nil {
            report(root.position, "the pipeline has no name", hint: "add `pipeline: <name>`")
        }
        set(&pipeline.name, PipelineKeys.pipeline, in: fields)
        pipeline.durability = .disk
        set(&pipeline.durability, PipelineKeys.durability, in: fields)
        set(&pipeline.limits, PipelineKeys.limits, in: fields)
        pipeline.retention = retention(fields, pipeline, directory: directory)
        let socket = socketPath(fields, directory: directory)
        let state = read(PipelineKeys.state, in: fields).map { joined(directory, $0) }
        guard let value = fields[PipelineKeys.stages] else {
            report(root.position, "the pipeline has no stages", hint: "add `stages:` with at least a source")
            return nil
        }
        guard let entries = read(PipelineKeys.stages, in: fields) else { return nil }
        var drafts: [StageDraft] = []
        for entry in entries {
            _ = checkName(entry.key, at: entry.keyPosition, "stage")
            drafts.append(stage(entry, directory: directory))
        }
        guard let stages = graph(drafts) else { return nil }
        pipeline.stages = stages
        checkWorkers(stages, at: value.position)
        checkParking(of: drafts, pipeline.limits)
        return LoadedPipeline(
            definition: pipeline, directory: directory, socketPath: socket, stateDirectory: state)
    }

    /// Retention as far as it fits the journal.
    private mutating func retention(_ fields: Fields, _ pipeline: PipelineDefinition, directory: String)
        -> RetentionPolicy?
    {
        guard var policy = read(PipelineKeys.retention, in: fields), let value = fields[PipelineKeys.retention] else {
            return nil
        }
        if pipeline.durability == .memory {
            report(
                value.position, "`retention` keeps records of the journal, and `durability: memory` has none",
                hint: "remove one of the two")
        }
        if let bytes = policy.bytes, bytes > pipeline.limits.journalBytes / 2 {
            let (wanted, limit) = (Quantity.text(bytes), Quantity.text(pipeline.limits.journalBytes))
            report(
                value.position, "`retention`: `bytes` (\(wanted)) is more than half of `journal_bytes` (\(limit))",
                hint:
                    "set `limits.journal_bytes` to \(Quantity.text(2 * bytes)) or more: what is needed has to fit, too")
        }
        policy.archive = policy.archive.map { joined(directory, $0) }
        return policy
    }

    private mutating func socketPath(_ fields: Fields, directory: String) -> String? {
        guard let path = read(PipelineKeys.socket, in: fields), let value = fields[PipelineKeys.socket] else {
            return nil
        }
        let full = joined(directory, path)
        guard full.utf8.count <= ConfigurationLimits.socketPath else {
            report(
                value.position, "`socket`: the path has \(full.utf8.count) bytes with its directory",
                hint:
                    "at most \(ConfigurationLimits.socketPath) fit, for the control socket beside it has a longer name")
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
        let read = Set(drafts.flatMap { $0.inputs.map(\.stage.content) })
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
