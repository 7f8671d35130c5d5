import StagewireModel
import StagewireRecord

/// Deliveries: everything that can go to somebody now, goes.
extension Router {
    /// Delivers what is visible and affordable, gives stream memory back, grants credit, and notices the end.
    public mutating func pump(at now: Moment) {
        for subscription in subscriptions.indices where subscriptions[subscription].dead.retrying > 0 {
            revive(subscription)
        }
        if replays > 0 { beginReplays(at: now) }
        // Only here may records move or leave the streams: no effect points into them yet.
        for subscription in subscriptions.indices where subscriptions[subscription].hasBacklog {
            tend(subscription, at: now)
        }
        for stream in streams.indices { relieve(stream, at: now) }
        releaseStreams(at: now)
        for stage in stages.indices
        where !isSuspending && !isJournalBehind && !stages[stage].sessions.isEmpty && stages[stage].phase != .ended {
            pumpStage(stage, at: now)
        }
        // What was skipped goes at once; what was delivered above is still needed, so no segment moves.
        releaseStreams(at: now)
        grant(at: now)
        advanceEnding(at: now)
    }

    private mutating func pumpStage(_ stage: Int, at now: Moment) {
        for stream in stages[stage].streams where streams[stream].isOverWindow { return }
        guard mayDeliver(stage) else { return }
        if !stages[stage].suspects.isEmpty { pumpTrial(stage, at: now) }
        for subscription in stages[stage].subscriptions {
            // Full dead letters pause it. Some that are to be retried may wait for room in the parking, so that goes on.
            // A replay waits for workers to settle what they have, which those with windows may need further records for.
            guard subscriptions[subscription].replay == nil || isHeldOnPurpose(stage) else { continue }
            let isPaused = subscriptions[subscription].dead.isFull
            guard !isPaused || subscriptions[subscription].dead.retrying > 0 else { continue }
            let hasReady = !subscriptions[subscription].parking.ready.isEmpty
            let hasNew =
                !isPaused
                && subscriptions[subscription].progress.cursor < streams[subscriptions[subscription].stream].visibleEnd
            guard hasReady || hasNew else { continue }
            if hasReady { deliverReady(subscription, at: now) }
            if hasNew { deliverNew(subscription, at: now) }
            for slot in stages[stage].sessions { flush(slot) }
        }
    }

    // MARK: New records

    /// Walks the cursor as far as workers and order allow.
    private mutating func deliverNew(_ index: Int, at now: Moment) {
        let stream = subscriptions[index].stream
        let end = streams[stream].visibleEnd
        var run = runs(of: index, upTo: end)
        while subscriptions[index].progress.cursor < end {
            if handOutPlain(index, upTo: end, at: now) { continue }
            let sequence = subscriptions[index].progress.cursor
            guard let record = ahead(index, sequence) else { return }
            if let when = subscriptions[index].when, !when.matches(record.attribute) {
                subscriptions[index].progress.skip()
                open.changes.done(index, sequence)
                subscriptions[index].counters.unmatched += 1
                continue
            }
            let key = subscriptions[index].orderingKey(record.keyHash)
            if key != 0, !subscriptions[index].parking.held.isEmpty, let held = subscriptions[index].parking.held[key] {
                // A key that only waits for room is not worth parking the stream for.
                guard !held.isReady || mayLookAhead(index), queueBehind(key, sequence, index) else { return }
                continue
            }
            switch pick(index, key: key, bytes: record.recordLength, in: &run) {
            case .session(let slot):
                subscriptions[index].progress.advance()
                hand(record, sequence, key: key, attempt: 1, to: slot, index, at: now)
            case .nobody: return
            case .ownerIsFull:
                guard mayLookAhead(index), queueBehind(key, sequence, index) else { return }
                subscriptions[index].parking.makeReady(key: key)
            }
        }
    }

    /// Records that may wait for a full worker while others are idle, so that these get work; more would cost a look
    /// at each of their keys on every turn.
    static var lookahead: Int { 1024 }

    private func mayLookAhead(_ index: Int) -> Bool { subscriptions[index].parking.waiting < Self.lookahead }

    /// Lets a record wait behind its key. False: the subscription is blocked.
    private mutating func queueBehind(_ key: UInt64, _ sequence: UInt64, _ index: Int) -> Bool {
        // With one order for everything nothing behind can go anyway: the stream is the queue.
        guard subscriptions[index].ordering != .total else { return false }
        guard !subscriptions[index].parking.isFull else {
            sayBlocked(index, key: key, sequence)
            return false
        }
        subscriptions[index].progress.advance()
        subscriptions[index].parking.insert(
            ParkedRecord(state: .waiting, key: key, attempt: 1, firstAttempt: 0, block: nil), at: sequence)
        let isHead = subscriptions[index].parking.enqueue(sequence, key: key, due: 0)
        // After a start the cursor may stand before an arrival of the run before: then this one goes first.
        if isHead { subscriptions[index].parking.makeReady(key: key) }
        return true
    }

    private mutating func sayBlocked(_ index: Int, key: UInt64, _ sequence: UInt64) {
        guard !subscriptions[index].saidBlocked else { return }
        subscriptions[index].saidBlocked = true
        let record = reference(sequence, index)
        let name = String(decoding: record.key, as: UTF8.self).unicodeScalars.map { $0.escaped(asASCII: true) }.joined()
        effects.append(
            .log(
                Notice(
                    .warning, stage: subscriptions[index].stage,
                    "blocked: its parking is full, \(subscriptions[index].parking.waiting) records wait behind their keys, "
                        + "the latest of key \"\(name)\"")))
    }

    // MARK: Records that come again

    private mutating func deliverReady(_ index: Int, at now: Moment) {
        for _ in 0..<subscriptions[index].parking.ready.count {
            guard let waiting = subscriptions[index].parking.ready.popFirst() else { return }
            let isDone =
                switch waiting {
                case .record(let sequence): deliverWaiting(sequence, key: 0, index, at: now)
                case .key(let key): deliverHeld(key, index, at: now)
                }
            if !isDone { subscriptions[index].parking.ready.append(waiting) }
        }
    }

    /// Hands over what waits for this key, in order. False: the rest has to be tried again.
    private mutating func deliverHeld(_ key: UInt64, _ index: Int, at now: Moment) -> Bool {
        while let held = subscriptions[index].parking.held[key], let head = held.queue.first {
            guard isDue(held, at: now), subscriptions[index].parking[head]?.state == .waiting else {
                // A timer, or the end of a trial, wakes it.
                subscriptions[index].parking.held[key]!.isReady = false
                return true
            }
            guard deliverWaiting(head, key: key, index, at: now) else { return false }
        }
        return true
    }

    /// Hands one waiting record over. False: nobody can take it now.
    private mutating func deliverWaiting(_ sequence: UInt64, key: UInt64, _ index: Int, at now: Moment) -> Bool {
        guard let parked = subscriptions[index].parking[sequence], parked.state == .waiting else { return true }
        let record = reference(sequence, index)
        var alone = DealtRun(most: 1)
        guard case .session(let slot) = pick(index, key: key, bytes: record.recordLength, in: &alone) else {
            return false
        }
        unqueue(sequence, key: key, index)
        subscriptions[index].parking.update(sequence, to: .inFlight) {
            if $0.firstAttempt == 0 { $0.firstAttempt = now.uptime }
        }
        subscriptions[index].saidBlocked = false
        hand(record, sequence, key: key, attempt: parked.attempt, to: slot, index, at: now)
        return true
    }

    // MARK: To whom

    enum Choice: Equatable {
        case session(Int)
        /// Nobody has room, or the lane is kept for a suspect.
        case nobody
        /// The one that has to take it has no room, while another one holds nothing.
        case ownerIsFull
    }

    /// How many neighbours one session may get of what there is for several: no more than leave each of them a run. Only while records
    /// pass quickly and the broker is what limits them (`Turnover`): then deliveries of few records cost it more than the records
    /// do, since a process is woken for each, and the memory of one is not next to that of the other. Otherwise they go out one by
    /// one, so that what comes first is begun first.
    private func runs(of index: Int, upTo end: UInt64) -> DealtRun {
        let sessions = stages[subscriptions[index].stage].sessions.count
        guard sessions > 1, streams[subscriptions[index].stream].isShort else { return DealtRun(most: 1) }
        let records = Int(clamping: end - subscriptions[index].progress.cursor)
        return DealtRun(most: min(DealtRun.longest, records / sessions))
    }

    private mutating func pick(_ index: Int, key: UInt64, bytes: Int, in run: inout DealtRun) -> Choice {
        let stage = subscriptions[index].stage
        let input = subscriptions[index].input
        if key != 0 {
            switch subscriptions[index].lanes.route(of: key) {
            case .free: break
            case .claimed: return .nobody
            case .owned(let slot):
                if takesNew(slot, input: input, bytes: bytes) { return .session(slot) }
                for other in stages[stage].sessions
                where sessions[other].deliveries.isEmpty && hasRoom(other, input: input, bytes: bytes) {
                    return .ownerIsFull
                }
                return .nobody
            }
        }
        if let slot = run.goOn(), takesNew(slot, input: input, bytes: bytes) { return .session(slot) }
        guard let slot = leastLoaded(stage, input: input, bytes: bytes) else { return .nobody }
        run.begin(with: slot)
        return .session(slot)
    }

    private mutating func leastLoaded(_ stage: Int, input: Int, bytes: Int) -> Int? {
        let count = stages[stage].sessions.count
        if count == 1 {
            let slot = stages[stage].sessions[0]
            return takesNew(slot, input: input, bytes: bytes) ? slot : nil
        }
        var best: Int?
        var least = Int.max
        for offset in 0..<count {
            let slot = stages[stage].sessions[(stages[stage].turn + offset) % count]
            let owed = sessions[slot].deliveries.owed
            guard owed < least, takesNew(slot, input: input, bytes: bytes) else { continue }
            best = slot
            least = owed
        }
        stages[stage].turn = (stages[stage].turn + 1) % count
        return best
    }

    /// Whether a session can take a record that is no suspect of its trial.
    private func takesNew(_ slot: Int, input: Int, bytes: Int) -> Bool {
        sessions[slot].trial == .none && hasRoom(slot, input: input, bytes: bytes)
    }

    /// Whether a session can take a record: credit, the bound on what it holds unsettled, unwritten output.
    func hasRoom(_ slot: Int, input: Int, bytes: Int) -> Bool {
        guard admits(slot) else { return false }
        let limits = pipeline.limits
        guard sessions[slot].unwritten < Limits.unwritten else { return false }
        let unsettled = sessions[slot].inputs[input].unsettledRecords
        guard unsettled < limits.unsettledRecords else { return false }
        guard unsettled == 0 || sessions[slot].inputs[input].unsettledBytes + bytes <= limits.unsettledBytes else {
            return false
        }
        return sessions[slot].inputs[input].credit.admits(bytes: bytes)
    }

    /// Hands a record to a session: from now on the session owes a verdict.
    mutating func hand(
        _ record: RecordRef, _ sequence: UInt64, key: UInt64, attempt: UInt32, to slot: Int, _ index: Int,
        at now: Moment
    ) {
        let input = subscriptions[index].input
        let bytes = record.recordLength
        // A frame that the worker accepts holds one record of any size, not always as many as one Deliver may (LM-1).
        let room = sessions[slot].maxFrame - Limits.frameOverhead
        if !sessions[slot].batch.isEmpty, sessions[slot].batch.bytes + record.wireLength > room { flush(slot) }
        sessions[slot].inputs[input].credit.spend(bytes: bytes)
        sessions[slot].inputs[input].unsettledRecords += 1
        sessions[slot].inputs[input].unsettledBytes += bytes
        let id = sessions[slot].deliveries.append(
            InFlight(
                sequence: sequence, key: key, delivered: now.uptime, attempt: attempt, bytes: UInt32(bytes),
                input: UInt16(input), state: .unsettled))
        sessions[slot].unwritten += record.wireLength
        sessions[slot].batch.add(record, id: id, attempt: attempt, input: input)
        subscriptions[index].inFlight += 1
        subscriptions[index].counters.delivered += 1
        if key != 0 { subscriptions[index].lanes.enter(key, slot: slot) }
        if sessions[slot].batch.isFull { flush(slot) }
    }

    /// Turns what was gathered for a session into one effect.
    mutating func flush(_ slot: Int) {
        guard !sessions[slot].batch.isEmpty else { return }
        let connection = sessions[slot].connection
        announceRuns(slot)
        armLease(slot)
        let batch = sessions[slot].batch
        let firstSegment = segments.count
        let firstAttempt = attempts.count
        segments.append(contentsOf: batch.segments)
        attempts.append(contentsOf: batch.attempts)
        effects.append(
            .deliver(
                connection,
                Delivery(
                    input: UInt32(batch.input), first: batch.first, count: batch.count,
                    segments: firstSegment..<segments.count, bytes: batch.bytes,
                    attempts: firstAttempt..<attempts.count)))
        sessions[slot].batch.clear()
    }

    /// A hop's run number is announced before its first use.
    private mutating func announceRuns(_ slot: Int) {
        var announced = sessions[slot].announcedRuns
        // In portions, so that the frame stays well under every limit: a run's texts are up to 512 bytes.
        while announced < runs.count {
            let portion = min(runs.count, announced + 256)
            effects.append(.send(sessions[slot].connection, .runs(Array(runs[announced..<portion]))))
            announced = portion
        }
        sessions[slot].announcedRuns = announced
    }
}

/// Records that go to one session because the one before did. Those of a key that somebody has do not count: they go there.
private struct DealtRun {
    /// A Deliver of so many is worth the process that is woken for it.
    static let longest = 64

    /// Records of a run, the first included.
    private let most: Int
    private var slot = 0
    private var left = 0

    init(most: Int) { self.most = most }

    mutating func begin(with slot: Int) {
        self.slot = slot
        left = most - 1
    }

    /// The session of the run, as long as it lasts.
    mutating func goOn() -> Int? {
        guard left > 0 else { return nil }
        left -= 1
        return slot
    }
}
