import StagewireModel

/// The keys of the file itself.
enum PipelineKeys {
    static let pipeline = Key("pipeline", NameForm(), .required, "part of every record's identity")
    static let stages = Key(
        "stages", StagesForm(), .required,
        "1 to \(ConfigurationLimits.stages), in any order, without cycles, at most \(Limits.depth) from a source to any end"
    )
    static let durability = Key(
        "durability", ChoiceForm<Durability>(), standard: Durability.disk,
        "what survives: `disk`: everything confirmed, whatever dies; `relaxed`: the same but for the last moments; "
            + "`memory`: nothing outlives the broker ([Durability](OPERATING.md#durability))")
    static let state = Key(
        "state", PathForm(), .note("`.stagewire/<pipeline>` beside the file"),
        "the directory of the journal; `memory` has none")
    static let socket = Key(
        "socket", PathForm(), .note("chosen by the broker"),
        "at most \(ConfigurationLimits.socketPath) bytes with its directory")
    static let limits = Key(
        "limits", MappingForm(keys: LimitKeys.all) { $0.limits($1) }, .note("see [Limits](#limits)"),
        "what the broker keeps and how long it waits")

    static let retention = Key(
        "retention", MappingForm(keys: RetentionKeys.all) { $0.retention($1) }, .note("what nobody needs is removed"),
        "records that can be replayed; see [Retention](#retention)")

    static let all: [any KeyRow] = [pipeline, stages, durability, state, retention, socket, limits]
}

/// The keys of `retention`.
enum RetentionKeys {
    private static let standard = RetentionPolicy()

    static let time = Key(
        "time", AgeForm(range: ConfigurationLimits.age), standard: standard.time,
        "records of the last so much time are kept, and up to a segment more")
    static let bytes = Key(
        "bytes", SizeForm(ConfigurationLimits.retention), .note("half of `journal_bytes`"),
        "of the journal's segments, at most half of `journal_bytes`; what is needed counts first")
    static let archive = Key(
        "archive", PathForm(), .note("they are removed"),
        "the directory that segments are moved to when they are not kept any more")

    static let all: [any KeyRow] = [time, bytes, archive]
}

/// Stages by their names. What reads them (`Reader.stages`) needs the file's directory, so this form only checks
/// and hands on the entries.
struct StagesForm: Form {
    let type = "mapping of stages by name"

    var schema: JSONValue {
        [
            "type": "object", "minProperties": 1, "maxProperties": .integer(ConfigurationLimits.stages),
            "propertyNames": ["pattern": .string(NameForm.pattern), "maxLength": .integer(Limits.name)],
            "additionalProperties": ["$ref": "#/$defs/stage"],
        ]
    }

    func read(_ value: Value, _ what: String, _ reader: inout Reader) -> [Entry]? {
        guard case .mapping(let entries) = value.content else {
            reader.mismatch(
                value, what, expected: "a mapping of stages by their names",
                hint: "write `stages:`, then `  <name>:` and below it the stage's own keys")
            return nil
        }
        guard !entries.isEmpty, entries.count <= ConfigurationLimits.stages else {
            let count = entries.isEmpty ? "no" : "\(entries.count)"
            reader.report(
                value.position, "\(what): expected 1 to \(ConfigurationLimits.stages) stages, found \(count)")
            return nil
        }
        return entries
    }
}

/// The keys of `limits`.
enum LimitKeys {
    private static let standard = PipelineLimits()
    private static let record = SizeForm(ConfigurationLimits.record)
    private static let bytes = SizeForm(ConfigurationLimits.bytes)
    private static let records = IntegerForm<Int>(ConfigurationLimits.records)
    private static let timeout = DurationForm(ConfigurationLimits.timeout)

    static let maxRecord = Key(
        "max_record", record, standard: standard.maxRecord, "one record, the broker's part included")
    static let maxStepBytes = Key(
        "max_step_bytes", record, standard: standard.maxStepBytes,
        "what one outcome or one emission of a source may hold")
    static let maxStepRecords = Key(
        "max_step_records", records, standard: standard.maxStepRecords, "the same in records")
    static let windowBytes = Key(
        "window_bytes", bytes, standard: standard.windowBytes, "what a stream holds before its stage waits")
    static let windowRecords = Key("window_records", records, standard: standard.windowRecords, "the same in records")
    static let unsettledBytes = Key(
        "unsettled_bytes", bytes, standard: standard.unsettledBytes,
        "deliveries that one worker may hold, per input")
    static let unsettledRecords = Key(
        "unsettled_records", records, standard: standard.unsettledRecords, "the same in records")
    static let deadLetterBytes = Key(
        "dead_letter_bytes", bytes, standard: standard.deadLetterBytes,
        "dead letters per input with the texts of their errors; when full, the stage pauses")
    static let deadLetterRecords = Key(
        "dead_letter_records", records, standard: standard.deadLetterRecords, "the same in records")
    static let journalBytes = Key(
        "journal_bytes", SizeForm(ConfigurationLimits.journal), standard: standard.journalBytes,
        "of the journal on the disk; when that is reached, sources wait")
    static let backlogBytes = Key(
        "backlog_bytes", SizeForm(ConfigurationLimits.backlog), standard: standard.backlogBytes,
        "of a stream that may wait on the disk for one slow stage, beyond the window; 0B: none")
    static let handshake = Key(
        "handshake", timeout, standard: standard.handshake, "for a worker to introduce itself")
    static let heartbeat = Key(
        "heartbeat", timeout, standard: standard.heartbeat, "of silence, before a worker is asked whether it lives")
    static let idle = Key("idle", timeout, standard: standard.idle, "of silence, before its connection is closed")
    static let drain = Key(
        "drain", DurationForm(ConfigurationLimits.drain), standard: standard.drain, "for workers to finish at the end")

    static let all: [any KeyRow] = [
        maxRecord, maxStepBytes, maxStepRecords, windowBytes, windowRecords, unsettledBytes, unsettledRecords,
        deadLetterBytes, deadLetterRecords, journalBytes, backlogBytes, handshake, heartbeat, idle, drain,
    ]
}
