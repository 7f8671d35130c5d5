import StagewireModel

/// How a stage's deliveries are handled, and what it emits.
extension Reader {
    mutating func readHandling(_ fields: Fields, _ stage: inout StageDefinition) {
        if let value = fields["ordering"] {
            let choices: [(String, Ordering)] = [("key", .key), ("none", .none), ("total", .total)]
            stage.ordering = choice(value, "`ordering`", among: choices) ?? stage.ordering
        }
        if let value = fields["lease"] {
            stage.lease = duration(value, "`lease`", in: ConfigurationLimits.lease) ?? stage.lease
        }
        if let value = fields["crash_limit"] {
            let limit = integer(value, "`crash_limit`", in: ConfigurationLimits.crashes)
            stage.crashLimit = limit.map { UInt32($0) } ?? stage.crashLimit
        }
        if let value = fields["retry"] { stage.retry = retry(value) }
    }

    private mutating func retry(_ value: Value) -> RetryPolicy {
        var policy = RetryPolicy()
        let known = ["attempts", "backoff", "max_age", "jitter"]
        guard let fields = fields(value, "`retry`", known: known) else { return policy }
        if let value = fields["attempts"],
            let attempts = integer(value, "`attempts`", in: ConfigurationLimits.attempts)
        {
            policy.attempts = UInt32(attempts)
        }
        if let value = fields["backoff"], let (first, limit) = backoff(value) {
            (policy.backoffFirst, policy.backoffLimit) = (first, limit)
        }
        if let value = fields["max_age"] {
            policy.maxAge =
                value.scalar?.text == "none" ? nil : duration(value, "`max_age`", in: ConfigurationLimits.age)
        }
        if let value = fields["jitter"], let percent = percent(value, "`jitter`") { policy.jitterPercent = percent }
        return policy
    }

    /// `200ms..30s`, or one duration for a constant delay.
    private mutating func backoff(_ value: Value) -> (first: Duration, limit: Duration)? {
        let text = value.scalar?.text ?? ""
        let dots = text.firstRange(of: "..")
        let first = Quantity.duration(dots.map { String(text[..<$0.lowerBound]) } ?? text)
        let limit = dots.map { Quantity.duration(String(text[$0.upperBound...])) } ?? first
        guard let first, let limit else {
            mismatch(value, "`backoff`", expected: "a range of durations such as `200ms..30s`")
            return nil
        }
        let range = ConfigurationLimits.backoff
        guard check(first, value, "`backoff`", in: range), check(limit, value, "`backoff`", in: range) else {
            return nil
        }
        guard first <= limit else {
            report(
                value.position, "`backoff`: the first delay is longer than the last",
                hint: "write `\(Quantity.text(limit))..\(Quantity.text(first))`")
            return nil
        }
        return (first, limit)
    }

    private mutating func percent(_ value: Value, _ what: String) -> UInt32? {
        if let text = value.scalar?.text, text.hasSuffix("%"), let percent = UInt32(text.dropLast()), percent <= 100 {
            return percent
        }
        let isBare = value.scalar?.kind == .integer || value.scalar?.kind == .number
        mismatch(value, what, expected: "a percentage from `0%` to `100%`", hint: isBare ? "add `%`" : nil)
        return nil
    }

    mutating func schemas(_ value: Value) -> [Schema] {
        if case .sequence(let values) = value.content { return values.compactMap { schema($0) } }
        return schema(value).map { [$0] } ?? []
    }

    private mutating func schema(_ value: Value) -> Schema? {
        guard let fields = fields(value, "`emits`", known: ["schema", "version"]) else { return nil }
        guard let nameValue = fields["schema"], let versionValue = fields["version"] else {
            let missing = fields["schema"] == nil ? "schema" : "version"
            report(value.position, "`emits` has no `\(missing)`", hint: "write `{schema: <name>, version: <number>}`")
            return nil
        }
        guard let name = text(nameValue, "`schema`"),
            let version = integer(versionValue, "`version`", in: 1...Int(Int32.max))
        else { return nil }
        guard (1...Limits.name).contains(name.utf8.count) else {
            report(
                nameValue.position, "`schema`: a name has 1 to \(Limits.name) bytes, this one has \(name.utf8.count)")
            return nil
        }
        return Schema(name: name, version: UInt32(version))
    }
}
