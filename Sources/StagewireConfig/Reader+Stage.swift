import StagewireModel

extension Reader {
    /// What other systems call these keys.
    private static let stageAdvice = [
        "when": "a condition belongs to an input: `from: {stage: <name>, when: '<expression>'}`",
        "port": "a port belongs to an input: `from: {stage: <name>, port: <port>}`",
        "command": "the program is started with `run: [<program>, <argument>]`",
        "cmd": "the program is started with `run: [<program>, <argument>]`",
        "depends_on": "what a stage reads is `from`", "input": "what a stage reads is `from`",
        "inputs": "what a stage reads is `from`", "outputs": "output ports are `ports: [<name>, <name>]`",
        "environment": "environment variables are `env: {<NAME>: <value>}`",
        "cwd": "the working directory is `directory`", "replicas": "the number of processes is `workers`",
        "ulimits": "what the system allows a worker is `resources`",
        "tty": "a worker at the terminal is `stdio: inherit`",
    ]

    mutating func stage(_ entry: Entry, directory: String) -> StageDraft {
        let name = entry.key
        var draft = StageDraft(position: entry.keyPosition, definition: StageDefinition(name: name))
        let what = "stage \(quoted(name))"
        guard let fields = fields(entry.value, what, known: StageKeys.all, advice: Self.stageAdvice) else {
            draft.isComplete = false
            return draft
        }
        draft.definition.launch = launch(fields, what, &draft, directory: directory)
        readWorkers(fields, what, &draft.definition)
        checkStandardStreams(fields, what, draft)
        readHandling(fields, &draft.definition)
        readInputs(fields, what, &draft)
        return draft
    }

    private mutating func readWorkers(_ fields: Fields, _ what: String, _ stage: inout StageDefinition) {
        let workers = read(StageKeys.workers, in: fields)
        let maximum = read(StageKeys.maxWorkers, in: fields)
        let isWorkersBroken = fields[StageKeys.workers] != nil && workers == nil
        let isMaximumBroken = fields[StageKeys.maxWorkers] != nil && maximum == nil
        stage.workers = workers ?? stage.workers
        stage.maxWorkers = maximum ?? stage.maxWorkers
        guard stage.workers > stage.maxWorkers, !isWorkersBroken, !isMaximumBroken else { return }
        let origin = maximum == nil ? "its default of \(stage.maxWorkers)" : "\(stage.maxWorkers)"
        report(
            fields.position(of: StageKeys.workers, StageKeys.maxWorkers),
            "\(what): `workers` is \(stage.workers), but `max_workers` is \(origin)",
            hint: "raise `max_workers` to \(stage.workers) or more")
    }
}
