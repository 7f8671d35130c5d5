import StagewireModel

extension Reader {
    static let limitKeys = [
        "max_record", "window_bytes", "window_records", "max_step_bytes", "max_step_records", "unsettled_bytes",
        "unsettled_records", "dead_letter_records", "dead_letter_bytes", "handshake", "heartbeat", "idle", "drain",
    ]

    mutating func limits(_ value: Value) -> PipelineLimits {
        var limits = PipelineLimits()
        guard let fields = fields(value, "`limits`", known: Self.limitKeys) else { return limits }
        let count = errors.count
        setSize("max_record", fields, ConfigurationLimits.record, &limits.maxRecord)
        setSize("window_bytes", fields, ConfigurationLimits.bytes, &limits.windowBytes)
        setSize("max_step_bytes", fields, ConfigurationLimits.record, &limits.maxStepBytes)
        setSize("unsettled_bytes", fields, ConfigurationLimits.bytes, &limits.unsettledBytes)
        setSize("dead_letter_bytes", fields, ConfigurationLimits.bytes, &limits.deadLetterBytes)
        setCount("window_records", fields, &limits.windowRecords)
        setCount("max_step_records", fields, &limits.maxStepRecords)
        setCount("unsettled_records", fields, &limits.unsettledRecords)
        setCount("dead_letter_records", fields, &limits.deadLetterRecords)
        setTimeout("handshake", fields, ConfigurationLimits.timeout, &limits.handshake)
        setTimeout("heartbeat", fields, ConfigurationLimits.timeout, &limits.heartbeat)
        setTimeout("idle", fields, ConfigurationLimits.timeout, &limits.idle)
        setTimeout("drain", fields, ConfigurationLimits.drain, &limits.drain)
        // A relation with a value that could not be read would blame the wrong one.
        if errors.count == count { checkRelations(limits, fields) }
        return limits
    }

    private mutating func setSize(_ key: String, _ fields: Fields, _ range: ClosedRange<Int>, _ target: inout Int) {
        if let value = fields[key], let size = size(value, "`\(key)`", in: range) { target = size }
    }

    private mutating func setCount(_ key: String, _ fields: Fields, _ target: inout Int) {
        if let value = fields[key], let count = integer(value, "`\(key)`", in: ConfigurationLimits.records) {
            target = count
        }
    }

    private mutating func setTimeout(
        _ key: String, _ fields: Fields, _ range: ClosedRange<Duration>, _ target: inout Duration
    ) {
        if let value = fields[key], let duration = duration(value, "`\(key)`", in: range) { target = duration }
    }

    /// What has to hold for a pipeline to make progress: every container takes what it has to hold at least.
    private mutating func checkRelations(_ limits: PipelineLimits, _ fields: Fields) {
        let sizes: [(larger: (String, Int), smaller: (String, Int), reason: String)] = [
            (
                ("max_step_bytes", limits.maxStepBytes), ("max_record", limits.maxRecord),
                "a step has to hold one record of the largest size"
            ),
            (
                ("window_bytes", limits.windowBytes), ("max_step_bytes", limits.maxStepBytes),
                "a stream's window has to hold one step"
            ),
            (
                ("unsettled_bytes", limits.unsettledBytes), ("max_record", limits.maxRecord),
                "a session has to be able to take one record of the largest size"
            ),
            (
                ("dead_letter_bytes", limits.deadLetterBytes), ("max_record", limits.maxRecord),
                "one record of the largest size has to fit among the dead letters"
            ),
        ]
        for (larger, smaller, reason) in sizes where larger.1 < smaller.1 {
            report(
                fields.position(of: larger.0, smaller.0),
                "`\(larger.0)` (\(Quantity.text(larger.1))) is less than `\(smaller.0)` (\(Quantity.text(smaller.1)))",
                hint: reason)
        }
        if limits.windowRecords < limits.maxStepRecords {
            report(
                fields.position(of: "window_records", "max_step_records"),
                "`window_records` (\(limits.windowRecords)) is less than `max_step_records` (\(limits.maxStepRecords))",
                hint: "a stream's window has to hold one step")
        }
        if limits.idle <= limits.heartbeat {
            let (idle, heartbeat) = (Quantity.text(limits.idle), Quantity.text(limits.heartbeat))
            report(
                fields.position(of: "idle", "heartbeat"),
                "`idle` (\(idle)) is not longer than `heartbeat` (\(heartbeat))",
                hint: "a quiet worker is asked after `heartbeat` and needs time to answer until `idle`")
        }
    }
}
