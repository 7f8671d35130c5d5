import StagewireModel

/// How a stage's deliveries are handled, and what it emits.
extension Reader {
    mutating func readHandling(_ fields: Fields, _ stage: inout StageDefinition) {
        set(&stage.ordering, StageKeys.ordering, in: fields)
        set(&stage.lease, StageKeys.lease, in: fields)
        set(&stage.crashLimit, StageKeys.crashLimit, in: fields)
        set(&stage.retry, StageKeys.retry, in: fields)
        set(&stage.breaker, StageKeys.breaker, in: fields)
        set(&stage.ports, StageKeys.ports, in: fields)
        set(&stage.emits, StageKeys.emits, in: fields)
        if stage.launch?.builtIn == nil { set(&stage.config, StageKeys.config, in: fields) }
    }

    mutating func retry(_ fields: Fields) -> RetryPolicy {
        var policy = RetryPolicy()
        set(&policy.attempts, RetryKeys.attempts, in: fields)
        if let backoff = read(RetryKeys.backoff, in: fields) {
            (policy.backoffFirst, policy.backoffLimit) = (backoff.lowerBound, backoff.upperBound)
        }
        set(&policy.maxAge, RetryKeys.maxAge, in: fields)
        set(&policy.jitterPercent, RetryKeys.jitter, in: fields)
        return policy
    }

    mutating func breaker(_ fields: Fields) -> BreakerPolicy? {
        var policy = BreakerPolicy()
        let (failures, window) = (read(BreakerKeys.failures, in: fields), read(BreakerKeys.of, in: fields))
        policy.failures = failures ?? policy.failures
        policy.window = window ?? policy.window
        if let pause = read(BreakerKeys.pause, in: fields) {
            (policy.pauseFirst, policy.pauseLimit) = (pause.lowerBound, pause.upperBound)
        }
        let isBroken =
            fields[BreakerKeys.failures] != nil && failures == nil || fields[BreakerKeys.of] != nil && window == nil
        guard policy.failures > policy.window, !isBroken else { return policy }
        let origin = { (key: any KeyRow) in fields[key] == nil ? "its default of " : "" }
        report(
            fields.position(of: BreakerKeys.failures, BreakerKeys.of),
            "`breaker`: `failures` is \(origin(BreakerKeys.failures))\(policy.failures), but it looks back at "
                + "\(origin(BreakerKeys.of))\(policy.window) records (`of`)",
            hint: "so many can never be among them: raise `of`, or lower `failures`")
        return nil
    }

    mutating func schema(_ fields: Fields) -> Schema? {
        for key in SchemaKeys.all where fields[key] == nil {
            report(
                fields.position, "`emits` has no `\(key.name)`", hint: "write `{schema: <name>, version: <number>}`")
            return nil
        }
        guard let name = read(SchemaKeys.schema, in: fields), let version = read(SchemaKeys.version, in: fields) else {
            return nil
        }
        return Schema(name: name, version: version)
    }
}
