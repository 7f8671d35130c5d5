import StagewireModel

/// The keys of a stage.
enum StageKeys {
    private static let standard = StageDefinition(name: "")

    // MARK: Where workers come from

    static let run = Key(
        "run", CommandForm(), .note("one of `run`, `exec`, `attach`"), "program and arguments; there is no shell")
    static let attach = Key(
        "attach", ChoiceForm([("external", true)]), .note(""),
        "somebody else starts the workers; without " + launchKeys.map { "`\($0.name)`" }.joined(separator: ", "))
    static let exec = Key(
        "exec", MappingForm(keys: ExecKeys.all) { $0.exec($1) }, .note(""),
        "any executable as a stage, see [Executables](#executables); without `config`, `source` and `stdio`")
    static let workers = Key(
        "workers", IntegerForm<Int>(ConfigurationLimits.workers), standard: standard.workers,
        "processes that are started; at most `max_workers`, \(Limits.connections) in the whole pipeline")
    static let environment = Key(
        "env", EnvironmentForm(), standard: [:], "added to the workers' environment; `STAGEWIRE_…` is the broker's")
    static let directory = Key(
        "directory", PathForm(), .note("that of the file"), "the workers' working directory")
    static let resources = Key(
        "resources", MappingForm(keys: ResourceKeys.all) { $0.resources($1) }, .note("see [Resources](#resources)"),
        "what the system allows each worker's process")
    static let standardStreams = Key(
        "stdio", ChoiceForm<StandardStreams>(), standard: StandardStreams.log,
        "`log`: input is empty, output goes into the log. The broker's own: `stdin`, `stdout`, or both, `inherit`; each for one stage with `workers: 1`"
    )

    // MARK: Where records come from and go to

    static let source = Key("source", FlagForm(), standard: standard.isSource, "records begin here")
    static let from = Key("from", InputsForm(), .note("required unless a source"), "the stages it reads")
    static let overflow = Key(
        "overflow", ChoiceForm<Overflow>(), standard: InputDefinition(stage: 0).overflow,
        "when this stage is too slow: its sources wait, or records are dropped and counted")
    static let ports = Key(
        "ports", PortsForm(), standard: standard.ports, "outputs, in the order of their numbers")
    static let emits = Key(
        "emits", SchemasForm(), .note("none"), "what the stage's records follow")

    // MARK: How they are handled

    static let maxWorkers = Key(
        "max_workers", IntegerForm<Int>(ConfigurationLimits.workers), standard: standard.maxWorkers,
        "that may be attached at once; memory is reserved for each")
    static let ordering = Key(
        "ordering", ChoiceForm<Ordering>([("key", .key), ("none", .none), ("total", .total)]),
        standard: standard.ordering, "records of one key in order; none; all records in order, one worker at a time")
    static let retry = Key(
        "retry", MappingForm(keys: RetryKeys.all) { $0.retry($1) }, .note("see [Retry](#retry)"),
        "how a record is tried again")
    static let breaker = Key(
        "breaker", BreakerForm(), .note("see [Breaker](#breaker)"),
        "when the stage pauses because too much of what it gets is given up on; `none`: never")
    static let lease = Key(
        "lease", DurationForm(ConfigurationLimits.lease), standard: standard.lease,
        "without a sign of progress this long, a delivery is tried again")
    static let crashLimit = Key(
        "crash_limit", IntegerForm<UInt32>(ConfigurationLimits.crashes), standard: standard.crashLimit,
        "crashes of a worker with one delivery alone before that becomes a dead letter")
    static let config = Key(
        "config", CustomForm("any YAML value", [:]) { $0.configuration($1) }, .value([:]),
        "given to the workers as JSON, at most \(Quantity.text(ConfigurationLimits.config)); numbers digit by digit, keys in their order"
    )

    static let all: [any KeyRow] = [
        run, exec, attach, source, from, workers, maxWorkers, ports, ordering, overflow, retry, breaker, lease,
        crashLimit, config,
        environment, directory, resources, standardStreams, emits,
    ]

    /// What only means something where the broker starts the workers.
    static let launchKeys: [any KeyRow] = [workers, environment, directory, resources, standardStreams]
    /// What only means something where records are delivered.
    static let deliveryKeys: [any KeyRow] = [from, ordering, overflow, retry, breaker, lease, crashLimit]

    /// What the command of `exec` has no use for.
    static let notWithExec: [any KeyRow] = [config, source, standardStreams]

    /// The stage's schema: its keys, and which of them exclude or need each other.
    static var schema: JSONValue {
        func without(_ keys: [any KeyRow]) -> JSONValue {
            ["properties": .object(keys.map { .init($0.name, false) })]
        }
        return JSONValue.mapping(of: all).adding([
            .init(
                "allOf",
                [
                    [
                        "if": ["required": [.string(attach.name)]], "then": without([run, exec] + launchKeys),
                        "else": [
                            "oneOf": [["required": [.string(run.name)]], ["required": [.string(exec.name)]]]
                        ],
                    ],
                    ["if": ["required": [.string(exec.name)]], "then": without(notWithExec)],
                    [
                        "if": [
                            "required": [.string(source.name)],
                            "properties": .object([.init(source.name, ["const": true])]),
                        ],
                        "then": without(deliveryKeys), "else": ["required": [.string(from.name)]],
                    ],
                ])
        ])
    }
}
