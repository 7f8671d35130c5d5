import DequeModule
import StagewireLedger
import StagewireModel
import StagewireRecord

/// Crashes: which of the deliveries that a dead worker held is to blame.
extension Router {
    /// A session crashed with these members in hand. Returns whether a group got smaller by it.
    mutating func suspect(_ members: [SuspectGroup.Member], _ session: Session, at now: Moment) -> Bool {
        let stage = session.stage
        var untried: Deque<SuspectGroup.Member> = []
        var wasTried = false
        if session.trial == .running, stages[stage].suspects.first?.trial == session.connection {
            untried = stages[stage].suspects.removeFirst().pending
            wasTried = true
        }
        if session.features.contains(.holds) {
            regroup(members, untried, stage, at: now)
            return false
        }
        // What was not handed out yet is tried after what was.
        if !untried.isEmpty { stages[stage].suspects.prepend(SuspectGroup(pending: untried)) }
        guard members.count > 1 else {
            guard let only = members.first, charge(only, at: now) else { return false }
            stages[stage].suspects.prepend(SuspectGroup(pending: [only]))
            return false
        }
        guard wasTried else {
            stages[stage].suspects.append(SuspectGroup(pending: Deque(members)))
            return false
        }
        let half = members.count / 2
        stages[stage].suspects.prepend(SuspectGroup(pending: Deque(members[half...])))
        stages[stage].suspects.prepend(SuspectGroup(pending: Deque(members[..<half])))
        return true
    }

    /// A worker that holds deliveries on purpose is not asked for them one by one: each is charged, and what is left
    /// goes first, together, to a worker that holds nothing else.
    private mutating func regroup(
        _ members: [SuspectGroup.Member], _ untried: Deque<SuspectGroup.Member>, _ stage: Int, at now: Moment
    ) {
        var group = SuspectGroup(pending: Deque(members.filter { charge($0, at: now) }) + untried)
        group.isWhole = true
        guard !group.pending.isEmpty else { return }
        stages[stage].suspects.prepend(group)
    }

    /// One more crash of a worker is this delivery's. Returns whether it may be tried again.
    private mutating func charge(_ member: SuspectGroup.Member, at now: Moment) -> Bool {
        let limit = stages[subscriptions[member.subscription].stage].definition.crashLimit
        var crashes: UInt32 = 0
        var trial = Trial(attempt: 1, crashes: 0, age: 0, delay: 0)
        subscriptions[member.subscription].parking.update(member.sequence, to: .suspect) {
            $0.crashes += 1
            crashes = $0.crashes
            trial = Trial(
                attempt: $0.attempt, crashes: crashes, age: (now.uptime - min(now.uptime, $0.firstAttempt)) / 1_000_000,
                delay: 0)
        }
        open.changes.tried(member.subscription, member.sequence, trial)
        guard crashes >= limit else { return true }
        buryCrashed(member, crashes: crashes, at: now)
        return false
    }

    private mutating func buryCrashed(_ member: SuspectGroup.Member, crashes: UInt32, at now: Moment) {
        guard let parked = subscriptions[member.subscription].parking[member.sequence] else {
            preconditionFailure("a suspect is parked")
        }
        unqueue(member.sequence, key: parked.key, member.subscription)
        if parked.key != 0 { subscriptions[member.subscription].lanes.unclaim(parked.key) }
        let times = crashes == 1 ? "once" : "\(crashes) times"
        let error = DeliveryError(.crashed, "Its worker ended \(times) while it held this record.", indefinite: true)
        bury(member.sequence, key: parked.key, member.subscription, attempts: parked.attempt, .crashed, error, at: now)
    }

    /// Takes a sequence out of its key's queue.
    mutating func unqueue(_ sequence: UInt64, key: UInt64, _ subscription: Int) {
        guard key != 0, var held = subscriptions[subscription].parking.held[key] else { return }
        if held.queue.first == sequence {
            held.queue.removeFirst()
            held.due = held.queue.first.flatMap { subscriptions[subscription].parking[$0]?.due } ?? 0
        } else {
            held.queue.removeAll { $0 == sequence }
        }
        subscriptions[subscription].parking.held[key] = held.queue.isEmpty ? nil : held
    }

    // MARK: Trials

    /// Hands the first suspect group of a stage to a worker that holds nothing, and nothing else to that worker.
    mutating func pumpTrial(_ stage: Int, at now: Moment) {
        guard let group = stages[stage].suspects.first else { return }
        if let connection = group.trial, let slot = slot(of: connection) {
            return continueTrial(stage, slot, at: now)
        }
        guard let slot = trialSession(stage) else { return }
        // Whoever was to become empty for it is free again.
        for other in stages[stage].sessions where other != slot && sessions[other].trial == .reserved {
            sessions[other].trial = .none
        }
        guard sessions[slot].deliveries.isEmpty || sessions[slot].features.contains(.holds) else {
            sessions[slot].trial = .reserved
            return
        }
        sessions[slot].trial = .running
        stages[stage].suspects[0].trial = sessions[slot].connection
        if !sessions[slot].deliveries.isEmpty { stages[stage].suspects[0].isWhole = true }
        continueTrial(stage, slot, at: now)
    }

    /// A session that holds nothing; or the one to wait for until it does: that is reserved already, or that holds least.
    ///
    /// Who holds deliveries on purpose may need further ones to settle any, and must not be made to wait for holding nothing.
    /// Where all are like that, the host starts another one in the place of the one that has crashed; and if it does not,
    /// the group goes to the one that holds least, for its keys would wait for ever otherwise (RT-8).
    private func trialSession(_ stage: Int) -> Int? {
        var best: Int?
        var leastHolder: Int?
        for slot in stages[stage].sessions {
            let owed = sessions[slot].deliveries.owed
            if sessions[slot].deliveries.isEmpty { return slot }
            if sessions[slot].features.contains(.holds) {
                if leastHolder.map({ owed < sessions[$0].deliveries.owed }) ?? true { leastHolder = slot }
            } else if sessions[slot].trial == .reserved {
                best = slot
            } else if best.map({ sessions[$0].trial != .reserved && owed < sessions[$0].deliveries.owed }) ?? true {
                best = slot
            }
        }
        let definition = stages[stage].definition
        let isReplaced = definition.launch != nil && stages[stage].sessions.count < definition.workers
        return best ?? (isReplaced ? nil : leastHolder)
    }

    private mutating func continueTrial(_ stage: Int, _ slot: Int, at now: Moment) {
        while let member = stages[stage].suspects[0].pending.first {
            guard handSuspect(member, slot, at: now) else { break }
            stages[stage].suspects[0].pending.removeFirst()
        }
        flush(slot)
        guard stages[stage].suspects[0].pending.isEmpty else { return }
        guard stages[stage].suspects[0].isWhole || sessions[slot].deliveries.isEmpty else { return }
        stages[stage].suspects.removeFirst()
        sessions[slot].trial = .none
        pumpTrial(stage, at: now)
    }

    /// Hands one suspect over. False: not now (credit, or its lane is still with another session).
    private mutating func handSuspect(_ member: SuspectGroup.Member, _ slot: Int, at now: Moment) -> Bool {
        let subscription = member.subscription
        guard let parked = subscriptions[subscription].parking[member.sequence] else {
            preconditionFailure("a suspect is parked")
        }
        let key = parked.key
        if key != 0 && subscriptions[subscription].parking.held[key]?.queue.first != member.sequence {
            // Something of its key that came earlier failed meanwhile: it waits behind that like everything else.
            subscriptions[subscription].lanes.unclaim(key)
            subscriptions[subscription].parking.update(member.sequence, to: .waiting)
            return true
        }
        let record = reference(member.sequence, subscription)
        let isWhole = stages[sessions[slot].stage].suspects[0].isWhole
        let taker = isWhole ? holder(of: key, subscription) ?? slot : slot
        guard hasRoom(taker, input: subscriptions[subscription].input, bytes: record.recordLength) else { return false }
        if key != 0 {
            guard subscriptions[subscription].lanes.isOpen(key, to: taker) else {
                subscriptions[subscription].lanes.claim(key)
                return false
            }
            unqueue(member.sequence, key: key, subscription)
        }
        subscriptions[subscription].parking.update(member.sequence, to: .inFlight)
        // A group may be of several inputs, a delivery is of one.
        if sessions[taker].batch.input != subscriptions[subscription].input { flush(taker) }
        hand(record, member.sequence, key: key, attempt: parked.attempt, to: taker, subscription, at: now)
        if taker != slot { flush(taker) }
        // What waits behind it follows without its being settled: a window may need that to close (RT-8).
        if key != 0, isWhole { wake(key, subscription, at: now) }
        return true
    }

    /// Who has the lane of a key. If that is a worker that holds other keys of it on purpose, nobody can wait for it to be empty.
    private func holder(of key: UInt64, _ subscription: Int) -> Int? {
        guard key != 0, case .owned(let slot) = subscriptions[subscription].lanes.route(of: key),
            sessions[slot].features.contains(.holds)
        else { return nil }
        return slot
    }
}
