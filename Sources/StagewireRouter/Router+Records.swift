import StagewireLedger
import StagewireModel
import StagewireRecord

/// What can become of one delivered record. The caller has already taken it off the session (`land`).
extension Router {
    /// The delivery is out of the worker's hands.
    mutating func land(_ entry: InFlight, _ slot: Int, _ id: UInt64) {
        let input = Int(entry.input)
        let subscription = sessions[slot].inputs[input].subscription
        sessions[slot].deliveries.settle(id)
        sessions[slot].inputs[input].unsettledRecords -= 1
        sessions[slot].inputs[input].unsettledBytes -= Int(entry.bytes)
        subscriptions[subscription].inFlight -= 1
        if entry.key != 0 { subscriptions[subscription].lanes.leave(entry.key) }
    }

    /// The record as it is now in memory: in its stream, or in a block of its own.
    func reference(_ sequence: UInt64, _ subscription: Int) -> RecordRef {
        if !subscriptions[subscription].parking.isEmpty,
            let block = subscriptions[subscription].parking[sequence]?.block
        {
            return block.ref
        }
        if subscriptions[subscription].hasBacklog, sequence < subscriptions[subscription].backlog!.end {
            return subscriptions[subscription].backlog!.log.ref(sequence)
        }
        return streams[subscriptions[subscription].stream].log.ref(sequence)
    }

    /// The record is done with in this subscription.
    mutating func complete(_ sequence: UInt64, key: UInt64, _ subscription: Int, at now: Moment) {
        open.changes.done(subscription, sequence)
        letGo(sequence, key: key, subscription, at: now)
    }

    /// The record is out of this subscription's way.
    private mutating func letGo(_ sequence: UInt64, key: UInt64, _ subscription: Int, at now: Moment) {
        guard !subscriptions[subscription].parking.isEmpty else {
            return subscriptions[subscription].progress.finish(sequence)
        }
        let parked = subscriptions[subscription].parking.remove(sequence)
        if parked?.block == nil { subscriptions[subscription].progress.finish(sequence) }
        if key != 0 { wake(key, subscription, at: now) }
    }

    /// A held key may be able to go on.
    func isDue(_ held: HeldKey, at now: Moment) -> Bool { held.due <= now.uptime }

    mutating func wake(_ key: UInt64, _ subscription: Int, at now: Moment) {
        guard let held = subscriptions[subscription].parking.held[key], isDue(held, at: now) else { return }
        subscriptions[subscription].parking.makeReady(key: key)
    }

    /// Tried and failed: once more after a delay, or a dead letter. Returns whether it will be tried again.
    @discardableResult
    mutating func retry(_ entry: InFlight, _ subscription: Int, delay: UInt64, error: DeliveryError, at now: Moment)
        -> Bool
    {
        let policy = stages[subscriptions[subscription].stage].definition.retry
        let parked = subscriptions[subscription].parking[entry.sequence]
        let firstAttempt = parked.map { $0.firstAttempt } ?? entry.delivered
        guard entry.attempt < policy.attempts else {
            bury(
                entry.sequence, key: entry.key, subscription, attempts: entry.attempt, .attemptsExhausted, error,
                at: now)
            return false
        }
        let backoff = policy.delay(beforeAttempt: entry.attempt + 1, salt: entry.sequence)
        let due = now.uptime &+ max(delay, backoff)
        if let maxAge = policy.maxAge, due - min(due, firstAttempt) > maxAge.nanoseconds {
            bury(entry.sequence, key: entry.key, subscription, attempts: entry.attempt, .expired, error, at: now)
            return false
        }
        subscriptions[subscription].counters.retried += 1
        let crashes = parked?.crashes ?? 0
        open.changes.tried(
            subscription, entry.sequence,
            Trial(
                attempt: entry.attempt + 1, crashes: crashes,
                age: (now.uptime - min(now.uptime, firstAttempt)) / 1_000_000,
                delay: (due - now.uptime) / 1_000_000))
        wait(entry, subscription, due: due) { $0.attempt = entry.attempt + 1 }
        return true
    }

    /// Untouched: the same attempt again. Returns whether it comes again.
    @discardableResult
    mutating func release(_ entry: InFlight, _ subscription: Int, at now: Moment) -> Bool {
        let releases = (subscriptions[subscription].parking[entry.sequence]?.releases ?? 0) + 1
        subscriptions[subscription].counters.released += 1
        guard releases <= UInt32(Limits.releases) else {
            let error = DeliveryError(.rejected, "Released \(Limits.releases) times in a row.")
            return retry(entry, subscription, delay: 0, error: error, at: now)
        }
        wait(entry, subscription, due: now.uptime + Self.releaseDelay) { $0.releases = releases }
        return true
    }

    /// A released record waits this long, so that a worker that releases everything does not spin; nanoseconds.
    static var releaseDelay: UInt64 { 100_000_000 }

    /// Parks the record as waiting; it may go at `due` (0: as soon as its key allows).
    mutating func wait(
        _ entry: InFlight, _ subscription: Int, due: UInt64, _ change: (inout ParkedRecord) -> Void = { _ in }
    ) {
        park(entry, subscription, as: .waiting) {
            $0.due = due
            change(&$0)
        }
        guard entry.key != 0 else {
            if due > 0 { return timers.arm(.retry(subscription: subscription, .record(entry.sequence)), at: due) }
            return subscriptions[subscription].parking.ready.append(.record(entry.sequence))
        }
        let isHead = subscriptions[subscription].parking.enqueue(entry.sequence, key: entry.key, due: due)
        // Behind another one it goes when that one has gone, but not before its own time.
        if due > 0 { timers.arm(.retry(subscription: subscription, .key(entry.key)), at: due) }
        if isHead && due == 0 { subscriptions[subscription].parking.makeReady(key: entry.key) }
    }

    mutating func park(
        _ entry: InFlight, _ subscription: Int, as state: ParkedRecord.State,
        _ change: (inout ParkedRecord) -> Void = { _ in }
    ) {
        if subscriptions[subscription].parking[entry.sequence] != nil {
            subscriptions[subscription].parking.update(entry.sequence, to: state, change)
        } else {
            var record = ParkedRecord(
                state: state, key: entry.key, attempt: entry.attempt, firstAttempt: entry.delivered, block: nil)
            change(&record)
            subscriptions[subscription].parking.insert(record, at: entry.sequence)
        }
        if state == .suspect && entry.key != 0 {
            subscriptions[subscription].parking.enqueue(entry.sequence, key: entry.key, due: 0)
        }
    }

    /// Gives the record up. It must not stand in a queue any more.
    mutating func bury(
        _ sequence: UInt64, key: UInt64, _ subscription: Int, attempts: UInt32, _ reason: Code,
        _ error: DeliveryError, at now: Moment
    ) {
        let block =
            subscriptions[subscription].parking[sequence]?.block
            ?? RecordBlock(copying: reference(sequence, subscription))
        let wasFull = subscriptions[subscription].dead.isFull
        let stage = subscriptions[subscription].stage
        stages[stage].buried += 1
        let letter = DeadLetter(
            number: stages[stage].buried, input: subscriptions[subscription].input, record: block,
            attempts: attempts, reason: reason, error: error, time: now.wall)
        subscriptions[subscription].dead.add(letter)
        open.changes.buried(subscription, sequence, letter)
        touch(stage)
        letGo(sequence, key: key, subscription, at: now)
        let total = subscriptions[subscription].dead.total
        if Self.isWorthALine(total) {
            effects.append(
                .log(
                    Notice(
                        .warning, stage: stage,
                        "dead letter \(block.ref.id) after \(attempts) attempt\(attempts == 1 ? "" : "s"): \(reason.name): "
                            + error.message
                            + (total < 5 ? "" : " (the \(total)th; from here on powers of ten are told)"))))
        }
        if subscriptions[subscription].dead.isFull && !wasFull {
            effects.append(
                .log(Notice(.error, stage: stage, "paused: its dead letters are full; retry or drop some of them")))
        }
        noteDeath(reason, error, stage, at: now)
    }

    /// Something of this stage changes with the open group: the stage does not end before that is durable.
    mutating func touch(_ stage: Int) {
        open.changed()
        stages[stage].changedIn = nextTicket
    }

    /// The first five, then 10, 100, 1,000 ...: a stage that rejects everything must not drown the log.
    static func isWorthALine(_ count: UInt64) -> Bool {
        var power: UInt64 = 10
        while power < count { power = power.multipliedReportingOverflow(by: 10).partialValue }
        return count <= 5 || power == count
    }

    /// A later delivery of a key whose earlier one was not accepted does not count: void what the session has of it.
    mutating func voidLater(than id: UInt64, _ entry: InFlight, slot: Int, _ subscription: Int) {
        guard entry.key != 0 else { return }
        var voided: [InFlight] = []
        sessions[slot].deliveries.void(after: id, key: entry.key, input: entry.input) { voided.append($0) }
        for later in voided {
            subscriptions[subscription].counters.voided += 1
            wait(later, subscription, due: 0)
        }
    }
}

extension RetryPolicy {
    /// Nanoseconds before a record is tried again: exponential, bounded, with a jitter that is a function of the
    /// record and the attempt, so that a replay of the same events waits exactly as long.
    func delay(beforeAttempt attempt: UInt32, salt: UInt64) -> UInt64 {
        let doublings = min(attempt < 2 ? 0 : attempt - 2, 40)
        let (exponential, overflow) = backoffFirst.nanoseconds.multipliedReportingOverflow(by: 1 << UInt64(doublings))
        let base = min(overflow ? .max : exponential, backoffLimit.nanoseconds)
        guard jitterPercent > 0, base > 0 else { return base }
        // SplitMix64's finaliser (Steele, Lea, Flood 2014) spreads neighbouring sequences evenly.
        var mixed = salt &+ UInt64(attempt) &* 0x9e37_79b9_7f4a_7c15
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        mixed ^= mixed >> 31
        let span = base / 100 * UInt64(min(jitterPercent, 100))
        guard span > 0 else { return base }
        return base - span + mixed % (2 * span + 1)
    }
}
