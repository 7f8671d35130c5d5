import StagewireModel

/// A command of the file and where its words stand: for what only a look at the machine can tell.
struct CommandSite {
    var stage: String
    var launch: Launch
    /// The program's name.
    var command: Position
    /// The value of `directory`, where the file sets it.
    var directory: Position?
}

/// Where a stage's workers come from.
extension Reader {
    mutating func launch(_ fields: Fields, _ what: String, _ draft: inout StageDraft, directory: String) -> Launch? {
        checkOrigins(fields, what, draft)
        let isExternal = fields[StageKeys.attach] != nil
        _ = read(StageKeys.attach, in: fields)
        guard fields[StageKeys.run] != nil || fields[StageKeys.exec] != nil else {
            if isExternal {
                refuse(StageKeys.launchKeys, fields) { "\(what): no worker is started here, so `\($0)` means nothing" }
            }
            return nil
        }
        let exec = read(StageKeys.exec, in: fields)
        let command = read(StageKeys.run, in: fields) ?? exec?.command
        let workDirectory = read(StageKeys.directory, in: fields).map { joined(directory, $0) }
        var launch = Launch(command: command?.content ?? [], directory: workDirectory)
        set(&launch.environment, StageKeys.environment, in: fields)
        set(&launch.limits, StageKeys.resources, in: fields)
        set(&launch.standardStreams, StageKeys.standardStreams, in: fields)
        if fields[StageKeys.exec] != nil {
            launch.builtIn = "exec"
            draft.definition.config = exec?.json ?? draft.definition.config
            refuse(StageKeys.notWithExec, fields) { "\(what) is an executable, for which `\($0)` means nothing" }
        }
        guard let command else { return nil }
        commands.append(
            CommandSite(
                stage: draft.definition.name, launch: launch, command: command.position,
                directory: workDirectory == nil ? nil : fields[StageKeys.directory]?.position))
        return launch
    }

    /// A stage's workers come from one place.
    private mutating func checkOrigins(_ fields: Fields, _ what: String, _ draft: StageDraft) {
        let origins: [any KeyRow] = [StageKeys.run, StageKeys.exec, StageKeys.attach]
        let present = origins.filter { fields.keyPosition($0) != nil }
        if present.isEmpty {
            report(
                draft.position, "\(what) has neither `run` nor `exec` nor `attach`",
                hint: "add `run: [<program>, <argument>]`, or `attach: external` if somebody else starts its workers")
        }
        guard present.count > 1 else { return }
        let both = present.count == 2 ? "both" : "all of"
        report(
            fields[present[0]]?.position ?? draft.position,
            "\(what) has \(both) \(present.map { "`\($0.name)`" }.joined(separator: " and "))",
            hint: "keep the one that is meant")
    }

    /// Reports each of `keys` that is present; `sentence` is given the key.
    mutating func refuse(_ keys: [any KeyRow], _ fields: Fields, _ sentence: (String) -> String) {
        for key in keys {
            if let position = fields.keyPosition(key) { report(position, sentence(key.name)) }
        }
    }

    mutating func resources(_ fields: Fields) -> ProcessLimits {
        var limits = ProcessLimits()
        limits.addressSpace = read(ResourceKeys.addressSpace, in: fields)
        limits.openFiles = read(ResourceKeys.openFiles, in: fields)
        limits.cpuTime = read(ResourceKeys.cpuTime, in: fields)
        limits.fileSize = read(ResourceKeys.fileSize, in: fields)
        limits.coreSize = read(ResourceKeys.coreSize, in: fields)
        limits.niceness = read(ResourceKeys.niceness, in: fields)
        return limits
    }

    /// Several processes that read one terminal would each get some of the keys, and their lines would mix.
    mutating func checkStandardStreams(_ fields: Fields, _ what: String, _ draft: StageDraft) {
        guard let streams = draft.definition.launch?.standardStreams, let value = fields[StageKeys.standardStreams]
        else {
            return
        }
        let wanted = StandardStream.allCases.filter { $0.belongs(to: streams) }
        guard !wanted.isEmpty else { return }
        if draft.definition.workers > 1 {
            report(
                value.position,
                "\(what): `stdio: \(streams.rawValue)` is for one worker, but `workers` is \(draft.definition.workers)",
                hint: "write `workers: 1`, or leave `stdio` out")
        }
        var taken: [StandardStream] = []
        for stream in wanted {
            guard streamOwners[stream] == nil else {
                taken.append(stream)
                continue
            }
            streamOwners[stream] = (draft.definition.name, value.position)
        }
        reportTaken(taken, value.position, what)
    }

    private mutating func reportTaken(_ taken: [StandardStream], _ position: Position, _ what: String) {
        let owners = taken.compactMap { streamOwners[$0] }
        // Both with one stage: that is one mistake.
        let isOne = owners.count == 2 && owners[0].stage == owners[1].stage
        let mistakes = isOne ? [("input and output", owners[0])] : Array(zip(taken.map(\.rawValue), owners))
        for (stream, owner) in mistakes {
            report(
                position,
                "\(what): one stage can have the broker's standard \(stream), and \(quoted(owner.stage)) has it "
                    + "already (\(owner.position.line):\(owner.position.column))",
                hint: isOne
                    ? "let one have `stdio: stdin` and the other `stdio: stdout`"
                    : "leave it out of one of them")
        }
    }
}

/// A standard stream that the broker can give away.
enum StandardStream: String, CaseIterable {
    case input
    case output

    func belongs(to streams: StandardStreams) -> Bool {
        switch self {
        case .input: streams.hasInput
        case .output: streams.hasOutput
        }
    }
}
