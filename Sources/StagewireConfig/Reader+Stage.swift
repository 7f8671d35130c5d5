import StagewireModel

extension Reader {
    static let stageKeys = [
        "run", "attach", "exec", "source", "from", "workers", "max_workers", "ordering", "overflow", "retry", "lease",
        "crash_limit", "ports", "emits", "config", "env", "directory",
    ]

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
    ]

    mutating func stage(_ entry: Entry, directory: String) -> StageDraft {
        let name = entry.key
        var draft = StageDraft(position: entry.keyPosition, definition: StageDefinition(name: name))
        let what = "stage \(quoted(name))"
        let fields = fields(entry.value, what, known: Self.stageKeys, advice: Self.stageAdvice)
        guard let fields else {
            draft.isComplete = false
            return draft
        }
        draft.definition.launch = launch(fields, what, at: draft.position, directory: directory)
        readWorkers(fields, what, &draft.definition)
        readPorts(fields, &draft.definition)
        readHandling(fields, &draft.definition)
        if let value = fields["emits"] { draft.definition.emits = schemas(value) }
        if let value = fields["config"], let json = configuration(value) { draft.definition.config = json }
        readInputs(fields, what, &draft)
        return draft
    }

    // MARK: Where workers come from

    private mutating func launch(
        _ fields: Fields, _ what: String, at position: Position, directory: String
    ) -> Launch? {
        if let value = fields["exec"] {
            report(
                fields.keyPosition("exec") ?? value.position, "\(what): `exec` is not available in this version yet",
                hint: "start a worker with `run: [<program>, <argument>]`")
            return nil
        }
        let attach = fields["attach"]
        if let attach { _ = choice(attach, "`attach`", among: [("external", true)]) }
        guard let run = fields["run"] else {
            if attach == nil {
                report(
                    position, "\(what) has neither `run` nor `attach`",
                    hint:
                        "add `run: [<program>, <argument>]`, or `attach: external` if somebody else starts its workers")
            }
            refuse(["workers", "env", "directory"], fields) {
                "\(what): no worker is started here, so `\($0)` means nothing"
            }
            return nil
        }
        if attach != nil {
            report(run.position, "\(what) has both `run` and `attach`", hint: "keep the one that is meant")
        }
        let command = command(run)
        let workDirectory = fields["directory"].flatMap { path($0, "`directory`") }
        let variables = fields["env"].map { environment($0) } ?? [:]
        return command.map {
            Launch(command: $0, directory: workDirectory.map { joined(directory, $0) }, environment: variables)
        }
    }

    /// Reports each of `keys` that is present; `sentence` is given the key.
    mutating func refuse(_ keys: [String], _ fields: Fields, _ sentence: (String) -> String) {
        for key in keys {
            if let position = fields.keyPosition(key) { report(position, sentence(key)) }
        }
    }

    private mutating func command(_ value: Value) -> [String]? {
        if let scalar = value.scalar, scalar.kind == .text {
            let words = scalar.text.split(whereSeparator: \.isWhitespace).map(String.init)
            mismatch(
                value, "`run`", expected: "a list of program and arguments (there is no shell)",
                hint: "write `run: [\(words.joined(separator: ", "))]`")
            return nil
        }
        guard let values = list(value, "`run`", of: "program and arguments") else { return nil }
        var words: [String] = []
        for value in values {
            guard let word = text(value, "`run`") else { continue }
            guard !word.utf8.contains(0) else {
                report(value.position, "`run`: an argument cannot contain a zero byte")
                continue
            }
            words.append(word)
        }
        if words.count == values.count, words[0].isEmpty {
            report(values[0].position, "`run`: the program's name is empty")
        }
        return words.count == values.count ? words : nil
    }

    private mutating func environment(_ value: Value) -> [String: String] {
        guard case .mapping(let entries) = value.content else {
            mismatch(value, "`env`", expected: "a mapping of variables to texts")
            return [:]
        }
        var variables: [String: String] = [:]
        for entry in entries {
            if entry.key.isEmpty || entry.key.contains("=") || entry.key.utf8.contains(0) {
                report(entry.keyPosition, "`env`: \(quoted(entry.key)) cannot name an environment variable")
            } else if entry.key.hasPrefix("STAGEWIRE_") {
                report(
                    entry.keyPosition, "`env`: variables that begin with `STAGEWIRE_` are set by the broker",
                    hint: "choose another name, or pass the value in `config`")
            } else if let text = text(entry.value, "`env`: \(quoted(entry.key))") {
                if text.utf8.contains(0) {
                    report(entry.value.position, "`env`: a value cannot contain a zero byte")
                }
                variables[entry.key] = text
            }
        }
        return variables
    }

    // MARK: How many

    private mutating func readWorkers(_ fields: Fields, _ what: String, _ stage: inout StageDefinition) {
        let range = ConfigurationLimits.workers
        let workers = fields["workers"].flatMap { integer($0, "`workers`", in: range) }
        let maximum = fields["max_workers"].flatMap { integer($0, "`max_workers`", in: range) }
        let isWorkersBroken = fields["workers"] != nil && workers == nil
        let isMaximumBroken = fields["max_workers"] != nil && maximum == nil
        stage.workers = workers ?? stage.workers
        stage.maxWorkers = maximum ?? stage.maxWorkers
        guard stage.workers > stage.maxWorkers, !isWorkersBroken, !isMaximumBroken else { return }
        let origin = maximum == nil ? "its default of \(stage.maxWorkers)" : "\(stage.maxWorkers)"
        report(
            fields.position(of: "workers", "max_workers"),
            "\(what): `workers` is \(stage.workers), but `max_workers` is \(origin)",
            hint: "raise `max_workers` to \(stage.workers) or more")
    }

    private mutating func readPorts(_ fields: Fields, _ stage: inout StageDefinition) {
        guard let value = fields["ports"], let values = list(value, "`ports`", of: "names") else { return }
        guard values.count <= ConfigurationLimits.ports else {
            report(value.position, "`ports`: at most \(ConfigurationLimits.ports) ports, found \(values.count)")
            return
        }
        var names: [String] = []
        for value in values {
            guard let name = name(value, "`ports`") else { continue }
            if names.contains(name) {
                report(value.position, "`ports`: \(quoted(name)) stands twice")
            } else {
                names.append(name)
            }
        }
        if !names.isEmpty { stage.ports = names }
    }
}
