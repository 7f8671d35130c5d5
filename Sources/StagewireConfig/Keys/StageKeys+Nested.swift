import StagewireModel

/// The keys of `retry`.
enum RetryKeys {
    private static let standard = RetryPolicy()

    static let attempts = Key(
        "attempts", IntegerForm<UInt32>(ConfigurationLimits.attempts), standard: standard.attempts,
        "deliveries of one record, the first included")
    static let backoff = Key(
        "backoff", BackoffForm(range: ConfigurationLimits.backoff),
        standard: standard.backoffFirst...standard.backoffLimit,
        "first and longest delay; doubled in between. One duration: always that")
    static let maxAge = Key(
        "max_age", AgeForm(range: ConfigurationLimits.age), standard: standard.maxAge,
        "since the first attempt of this stage")
    static let jitter = Key(
        "jitter", PercentForm(), standard: standard.jitterPercent, "by which a delay varies, either way")

    static let all: [any KeyRow] = [attempts, backoff, maxAge, jitter]
}

/// The keys of `breaker`.
enum BreakerKeys {
    private static let standard = BreakerPolicy()

    static let failures = Key(
        "failures", IntegerForm<Int>(ConfigurationLimits.breaker), standard: standard.failures,
        "records given up on at which it pauses; at most `of`")
    static let of = Key(
        "of", IntegerForm<Int>(ConfigurationLimits.breaker), standard: standard.window,
        "records that it looks back at: the last ones that were accepted or given up on")
    static let pause = Key(
        "pause", BackoffForm(range: ConfigurationLimits.pause), standard: standard.pauseFirst...standard.pauseLimit,
        "first and longest pause; doubled in between. One duration: always that")

    static let all: [any KeyRow] = [failures, of, pause]
}

/// The keys of `resources`, each a limit of the system for one process.
enum ResourceKeys {
    private static let none = Standard.note("as the broker's")

    static let addressSpace = Key(
        "address_space", SizeForm(ConfigurationLimits.addressSpace), none,
        "memory that a worker may reserve, which may be far more than it uses")
    static let openFiles = Key(
        "open_files", IntegerForm<Int>(ConfigurationLimits.openFiles), none, "files and sockets that are open at once")
    static let cpuTime = Key(
        "cpu_time", DurationForm(ConfigurationLimits.cpuTime, wholeSeconds: true), none,
        "processor time, after which the system ends the worker")
    static let fileSize = Key(
        "file_size", SizeForm(ConfigurationLimits.fileSize), none, "the largest file that a worker may write")
    static let coreSize = Key(
        "core_size", SizeForm(ConfigurationLimits.coreSize), none, "a core dump; 0: none is written")
    static let niceness = Key(
        "niceness", IntegerForm<Int>(ConfigurationLimits.niceness), none,
        "added to the broker's own; a higher one leaves more to other processes")

    static let all: [any KeyRow] = [addressSpace, openFiles, cpuTime, fileSize, coreSize, niceness]
}

/// The keys of an input that is a mapping.
enum InputKeys {
    static let stage = Key("stage", ReferenceForm("stage"), .required, "the stage that is read")
    static let port = Key("port", ReferenceForm("port"), .note("its first"), "one of its `ports`")
    static let when = Key(
        "when", ExpressionForm(), .note("all records"), "which records are read, see [Conditions](#conditions)")
    static let overflow = Key("overflow", ChoiceForm<Overflow>(), .note("that of the stage"), "for this input alone")

    static let all: [any KeyRow] = [stage, port, when, overflow]
}

/// The keys of `emits`.
enum SchemaKeys {
    static let schema = Key("schema", SchemaNameForm(), .required, "any text")
    static let version = Key(
        "version", IntegerForm<UInt32>(1...Int(Int32.max)), .required, "a higher one for each change")

    static let all: [any KeyRow] = [schema, version]
}
