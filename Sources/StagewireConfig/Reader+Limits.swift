import StagewireModel

extension Reader {
    mutating func limits(_ fields: Fields) -> PipelineLimits {
        var limits = PipelineLimits()
        let count = errors.count
        set(&limits.maxRecord, LimitKeys.maxRecord, in: fields)
        set(&limits.windowBytes, LimitKeys.windowBytes, in: fields)
        set(&limits.windowRecords, LimitKeys.windowRecords, in: fields)
        set(&limits.maxStepBytes, LimitKeys.maxStepBytes, in: fields)
        set(&limits.maxStepRecords, LimitKeys.maxStepRecords, in: fields)
        set(&limits.unsettledBytes, LimitKeys.unsettledBytes, in: fields)
        set(&limits.unsettledRecords, LimitKeys.unsettledRecords, in: fields)
        set(&limits.deadLetterBytes, LimitKeys.deadLetterBytes, in: fields)
        set(&limits.deadLetterRecords, LimitKeys.deadLetterRecords, in: fields)
        set(&limits.journalBytes, LimitKeys.journalBytes, in: fields)
        set(&limits.backlogBytes, LimitKeys.backlogBytes, in: fields)
        set(&limits.handshake, LimitKeys.handshake, in: fields)
        set(&limits.heartbeat, LimitKeys.heartbeat, in: fields)
        set(&limits.idle, LimitKeys.idle, in: fields)
        set(&limits.drain, LimitKeys.drain, in: fields)
        // A relation with a value that could not be read would blame the wrong one.
        if errors.count == count { checkRelations(limits, fields) }
        return limits
    }

    mutating func retention(_ fields: Fields) -> RetentionPolicy {
        var policy = RetentionPolicy()
        set(&policy.time, RetentionKeys.time, in: fields)
        policy.bytes = read(RetentionKeys.bytes, in: fields)
        policy.archive = read(RetentionKeys.archive, in: fields)
        return policy
    }

    /// What has to hold for a pipeline to make progress: every container takes what it has to hold at least.
    private mutating func checkRelations(_ limits: PipelineLimits, _ fields: Fields) {
        typealias Size = (key: Key<SizeForm>, bytes: Int)
        let sizes: [(larger: Size, smaller: Size, reason: String)] = [
            (
                (LimitKeys.maxStepBytes, limits.maxStepBytes), (LimitKeys.maxRecord, limits.maxRecord),
                "a step has to hold one record of the largest size"
            ),
            (
                (LimitKeys.windowBytes, limits.windowBytes), (LimitKeys.maxStepBytes, limits.maxStepBytes),
                "a stream's window has to hold one step"
            ),
            (
                (LimitKeys.unsettledBytes, limits.unsettledBytes), (LimitKeys.maxRecord, limits.maxRecord),
                "a session has to be able to take one record of the largest size"
            ),
            (
                (LimitKeys.deadLetterBytes, limits.deadLetterBytes), (LimitKeys.maxRecord, limits.maxRecord),
                "one record of the largest size has to fit among the dead letters"
            ),
        ]
        for (larger, smaller, reason) in sizes where larger.bytes < smaller.bytes {
            report(
                fields.position(of: larger.key, smaller.key),
                "`\(larger.key.name)` (\(Quantity.text(larger.bytes))) is less than"
                    + " `\(smaller.key.name)` (\(Quantity.text(smaller.bytes)))",
                hint: reason)
        }
        if limits.windowRecords < limits.maxStepRecords {
            report(
                fields.position(of: LimitKeys.windowRecords, LimitKeys.maxStepRecords),
                "`window_records` (\(limits.windowRecords)) is less than `max_step_records` (\(limits.maxStepRecords))",
                hint: "a stream's window has to hold one step")
        }
        if limits.idle <= limits.heartbeat {
            let (idle, heartbeat) = (Quantity.text(limits.idle), Quantity.text(limits.heartbeat))
            report(
                fields.position(of: LimitKeys.idle, LimitKeys.heartbeat),
                "`idle` (\(idle)) is not longer than `heartbeat` (\(heartbeat))",
                hint: "a quiet worker is asked after `heartbeat` and needs time to answer until `idle`")
        }
    }
}
