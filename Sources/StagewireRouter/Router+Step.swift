import StagewireModel
import StagewireRecord

/// Verdicts: a Settle's outcomes, each one step.
extension Router {
    public mutating func settle(
        _ connection: ConnectionID, _ batch: borrowing StepBatch, frame: RawSpan, at now: Moment
    ) {
        wall = now.wall
        guard let slot = slot(of: connection) else { return refuseEarly(connection, at: now) }
        heard(slot, at: now)
        sessions[slot].lastProgress = now.uptime
        do throws(CloseReason) {
            try charge(slot, batch)
            var refused: [Refusal] = []
            var index = 0
            while true {
                index += acceptPlain(from: index, of: batch, frame: frame, slot: slot, at: now)
                guard index < batch.outcomes.count else { break }
                if let error = try apply(index, of: batch, frame: frame, slot: slot, at: now) {
                    refused.append(Refusal(id: batch.outcomes[index].first, error: error))
                }
                index += 1
            }
            touch(sessions[slot].stage)
            if sessions[slot].features.contains(.settleConfirm) {
                open.confirm(connection, .settled(through: sessions[slot].deliveries.settledThrough, refused: refused))
            }
        } catch {
            close(connection, error, at: now)
        }
    }

    mutating func refuseEarly(_ connection: ConnectionID, at now: Moment) {
        guard case .handshaking? = connections[connection] else { return }
        close(connection, CloseReason(.unexpectedMessage, "The first frame has to be Hello."), at: now)
    }

    /// Takes the frame's emissions out of what the session was granted, before anything of it is applied.
    mutating func charge(_ slot: Int, _ batch: borrowing StepBatch) throws(CloseReason) {
        guard !batch.emissions.isEmpty else { return }
        let ports = sessions[slot].outputs.count
        for emission in batch.emissions where emission.port >= UInt32(ports) {
            throw CloseReason(.unknownPort, "An emission for output \(emission.port): this stage has \(ports).")
        }
        let stage = sessions[slot].stage
        for port in 0..<ports {
            var records = 0
            var bytes = 0
            for emission in batch.emissions where emission.port == UInt32(port) {
                records += 1
                bytes += Int(emission.output.length) + stampReserve
            }
            guard records > 0 else { continue }
            guard sessions[slot].outputs[port].charge(records: records, bytes: bytes) else {
                let grant = sessions[slot].outputs[port]
                throw CloseReason(
                    .creditExceeded,
                    "\(records) emissions charged \(bytes) bytes on output \(port): the credit left was "
                        + "\(grant.outstandingRecords) records and \(grant.outstandingBytes) bytes.")
            }
            streams[stages[stage].streams[port]].needsGrant = true
        }
    }

    /// Applies one outcome. Returns why it was refused, if it was; throws what ends the connection.
    private mutating func apply(
        _ index: Int, of batch: borrowing StepBatch, frame: RawSpan, slot: Int, at now: Moment
    ) throws(CloseReason) -> DeliveryError? {
        let outcome = batch.outcomes[index]
        occasion += 1
        let hasVoided = try gather(outcome, batch, slot)
        // Before anything can be refused or void: a wrong parent ends the session either way (ST-5).
        for emission in outcome.emissions { try checkParents(batch.emissions[emission], batch) }
        if hasVoided {
            if !outcome.emissions.isEmpty {
                discard(slot, at: now)
                return nil
            }
            dropVoided(slot, at: now)
        }
        switch outcome.kind {
        case .accepted:
            if let fault = check(batch, outcome.emissions) {
                buryAll(slot, fault.code, fault.error, at: now)
                return fault.error
            }
            emitAll(outcome.emissions, of: batch, frame: frame, slot: slot, at: now)
            acceptAll(slot, isFiltered: outcome.emissions.isEmpty && stages[sessions[slot].stage].isRead, at: now)
        case .rejected:
            buryAll(slot, .rejected, error(of: outcome, batch, "Rejected without a reason."), at: now)
        case .retry:
            let error = error(of: outcome, batch, "Asked for a retry without a reason.")
            let delay = UInt64(outcome.delayMS) * 1_000_000
            sendBack(slot, at: now) { router, entry, subscription in
                router.retry(entry, subscription, delay: delay, error: error, at: now)
            }
        case .released:
            sendBack(slot, at: now) { router, entry, subscription in
                router.release(entry, subscription, at: now)
            }
        }
        return nil
    }

    /// Collects the outcome's deliveries in `scratch.deliveries`; every one has to be owed. Returns whether one of
    /// them is voided.
    private mutating func gather(
        _ outcome: StepBatch.Outcome, _ batch: borrowing StepBatch, _ slot: Int
    ) throws(CloseReason) -> Bool {
        scratch.deliveries.removeAll(keepingCapacity: true)
        var hasVoided = try gather(outcome.first, outcome.last, slot)
        for index in outcome.more {
            let range = batch.ranges[index]
            if try gather(range.first, range.last, slot) { hasVoided = true }
        }
        return hasVoided
    }

    private mutating func gather(_ first: UInt64, _ last: UInt64, _ slot: Int) throws(CloseReason) -> Bool {
        var hasVoided = false
        var id = first
        while true {
            // The first unknown id ends the loop, so a range costs no more than what the session owes.
            guard let entry = sessions[slot].deliveries.owedEntry(id) else {
                throw CloseReason(
                    .unknownDelivery,
                    "Delivery \(id) was settled, but this session does not owe a verdict on it; it was sent "
                        + "\(sessions[slot].deliveries.next - 1) deliveries so far.")
            }
            if let last = scratch.deliveries.last, last >= id {
                throw CloseReason(
                    .invalidOutcome, "The deliveries of an outcome have to ascend: \(id) stands behind \(last).")
            }
            if entry.state == .voided { hasVoided = true }
            scratch.deliveries.append(id)
            guard id != last else { return hasVoided }
            id += 1
        }
    }

    private func error(of outcome: StepBatch.Outcome, _ batch: borrowing StepBatch, _ otherwise: String)
        -> DeliveryError
    {
        outcome.error >= 0 ? batch.errors[outcome.error] : DeliveryError(.rejected, otherwise)
    }

    // MARK: Verdicts over `scratch.deliveries`

    /// A step that covers a voided delivery does not happen: what it would have settled comes again.
    private mutating func discard(_ slot: Int, at now: Moment) {
        dropVoided(slot, at: now)
        sendBack(slot, at: now) { router, entry, subscription in
            router.wait(entry, subscription, due: 0)
            return true
        }
    }

    /// Voided deliveries are out of the worker's hands, and their outcome says nothing about them.
    private mutating func dropVoided(_ slot: Int, at now: Moment) {
        var kept: [UInt64] = []
        for id in scratch.deliveries {
            guard let entry = sessions[slot].deliveries.owedEntry(id) else { continue }
            guard entry.state == .voided else {
                kept.append(id)
                continue
            }
            let subscription = sessions[slot].inputs[Int(entry.input)].subscription
            land(entry, slot, id)
            wake(entry.key, subscription, at: now)
        }
        scratch.deliveries = kept
    }

    private mutating func acceptAll(_ slot: Int, isFiltered: Bool, at now: Moment) {
        // By index: iterating would count a reference per outcome.
        for index in scratch.deliveries.indices {
            let id = scratch.deliveries[index]
            guard let entry = sessions[slot].deliveries.owedEntry(id) else { continue }
            let subscription = sessions[slot].inputs[Int(entry.input)].subscription
            land(entry, slot, id)
            complete(entry.sequence, key: entry.key, subscription, at: now)
            subscriptions[subscription].counters.accepted += 1
            if isFiltered { subscriptions[subscription].counters.filtered += 1 }
        }
        noteAccepted(scratch.deliveries.count, sessions[slot].stage)
    }

    private mutating func buryAll(_ slot: Int, _ reason: Code, _ error: DeliveryError, at now: Moment) {
        for id in scratch.deliveries {
            guard let entry = sessions[slot].deliveries.owedEntry(id) else { continue }
            let subscription = sessions[slot].inputs[Int(entry.input)].subscription
            land(entry, slot, id)
            bury(entry.sequence, key: entry.key, subscription, attempts: entry.attempt, reason, error, at: now)
        }
    }

    /// RETRY and RELEASED: the records come again, and the session's later ones of their keys come after them.
    private mutating func sendBack(_ slot: Int, at now: Moment, _ verdict: (inout Router, InFlight, Int) -> Bool) {
        var again: [(id: UInt64, entry: InFlight, subscription: Int)] = []
        for id in scratch.deliveries {
            guard let entry = sessions[slot].deliveries.owedEntry(id) else { continue }
            let subscription = sessions[slot].inputs[Int(entry.input)].subscription
            land(entry, slot, id)
            if verdict(&self, entry, subscription) { again.append((id, entry, subscription)) }
        }
        for record in again { voidLater(than: record.id, record.entry, slot: slot, record.subscription) }
    }

    // MARK: Emissions

    struct Fault {
        var code: Code
        var error: DeliveryError
    }

    /// Why these emissions cannot become a step: the whole step is refused then.
    func check(_ batch: borrowing StepBatch, _ emissions: Range<Int>) -> Fault? {
        guard !emissions.isEmpty else { return nil }
        let limits = pipeline.limits
        guard emissions.count <= limits.maxStepRecords else {
            return fault(.stepTooLarge, "\(emissions.count) emissions in one step: at most \(limits.maxStepRecords).")
        }
        var bytes = 0
        for index in emissions {
            let emission = batch.emissions[index]
            if let code = emission.fault { return fault(code, emission.faultDescription) }
            let charged = Int(emission.output.length) + stampReserve
            guard charged <= limits.maxRecord else {
                return fault(
                    .outputTooLarge,
                    "An output of \(emission.output.length) bytes: at most \(limits.maxRecord - stampReserve) "
                        + "(max_record less the broker's stamp).")
            }
            bytes += charged
        }
        guard bytes <= limits.maxStepBytes else {
            return fault(.stepTooLarge, "\(bytes) bytes in one step: at most \(limits.maxStepBytes).")
        }
        return nil
    }

    private func fault(_ code: Code, _ message: String) -> Fault {
        Fault(code: code, error: DeliveryError(code, message))
    }

    private mutating func emitAll(
        _ emissions: Range<Int>, of batch: borrowing StepBatch, frame: RawSpan, slot: Int, at now: Moment
    ) {
        guard !emissions.isEmpty else { return }
        scratch.portOrdinals.removeAll(keepingCapacity: true)
        for _ in 0..<sessions[slot].outputs.count { scratch.portOrdinals.append(0) }
        scratch.ordinals.removeAll(keepingCapacity: true)
        for index in emissions {
            let emission = batch.emissions[index]
            if scratch.deliveries.count == 1 {
                stampDerived(emission, from: scratch.deliveries[0], slot: slot, at: now)
            } else {
                stampJoined(emission, batch, slot: slot, at: now)
            }
            append(emission, frame: frame, stage: sessions[slot].stage)
        }
    }

    /// Parents are distinct deliveries that the outcome settles.
    private func checkParents(_ emission: StepBatch.Emission, _ batch: borrowing StepBatch) throws(CloseReason) {
        for parent in emission.parents where !isGathered(batch.parents[parent]) {
            throw CloseReason(
                .invalidOutcome,
                "An emission names delivery \(batch.parents[parent]) as its parent, which its outcome does not settle.")
        }
        guard emission.parents.count > 1 else { return }
        guard Set(emission.parents.map { batch.parents[$0] }).count == emission.parents.count else {
            throw CloseReason(.invalidOutcome, "An emission names one of its parents twice.")
        }
    }

    /// Whether the outcome settles this delivery; they ascend.
    private func isGathered(_ delivery: UInt64) -> Bool {
        var low = 0
        var high = scratch.deliveries.count
        while low < high {
            let middle = (low + high) / 2
            if scratch.deliveries[middle] < delivery { low = middle + 1 } else { high = middle }
        }
        return low < scratch.deliveries.count && scratch.deliveries[low] == delivery
    }

    /// One input: the ordinary step.
    private mutating func stampDerived(_ emission: StepBatch.Emission, from delivery: UInt64, slot: Int, at now: Moment)
    {
        let entry = sessions[slot].deliveries.owedEntry(delivery)!
        let parent = reference(entry.sequence, sessions[slot].inputs[Int(entry.input)].subscription)
        let port = Int(emission.port)
        let ordinal = scratch.portOrdinals[port]
        scratch.portOrdinals[port] = ordinal + 1
        let stream = stages[sessions[slot].stage].streams[port]
        stamp.derived(
            id: streams[stream].origin.derived(parent: parent.id, ordinal: ordinal), parent: parent,
            run: sessions[slot].run, attempt: entry.attempt, wall: now.wall)
    }

    /// Several inputs: the emission names its parents, or has all of them.
    private mutating func stampJoined(
        _ emission: StepBatch.Emission, _ batch: borrowing StepBatch, slot: Int, at now: Moment
    ) {
        scratch.parents.removeAll(keepingCapacity: true)
        var first: (entry: InFlight, record: RecordRef)?
        let named = emission.parents.isEmpty ? scratch.deliveries : emission.parents.map { batch.parents[$0] }
        for delivery in named {
            let entry = sessions[slot].deliveries.owedEntry(delivery)!
            let record = reference(entry.sequence, sessions[slot].inputs[Int(entry.input)].subscription)
            if first == nil { first = (entry, record) }
            scratch.parents.append(record.id)
        }
        let key = OrdinalKey(port: emission.port, parents: scratch.parents)
        let ordinal = scratch.ordinals[key, default: 0]
        scratch.ordinals[key] = ordinal + 1
        let stream = stages[sessions[slot].stage].streams[Int(emission.port)]
        let id = streams[stream].origin.derived(parents: scratch.parents, ordinal: ordinal)
        let isTruncated = scratch.parents.count > Limits.parents
        if isTruncated { scratch.parents.removeLast(scratch.parents.count - Limits.parents) }
        stamp.derived(
            id: id, parent: first!.record, parents: scratch.parents, truncated: isTruncated, run: sessions[slot].run,
            attempt: first!.entry.attempt, wall: now.wall)
    }

    /// Puts the stamped emission at the end of its stream; invisible until its step is durable.
    mutating func append(_ emission: StepBatch.Emission, frame: RawSpan, stage: Int) {
        stages[stage].emitted += 1
        let stream = stages[stage].streams[Int(emission.port)]
        guard !streams[stream].subscribers.isEmpty else {
            counters.unrouted += 1
            return
        }
        let start = Int(emission.output.offset)
        let length = Int(emission.output.length)
        _ = streams[stream].log.append(
            stamp, output: frame.extracting(start..<start + length), keyHash: emission.keyHash)
        open.appended(to: stream, bytes: stamp.length + length)
    }
}
