import StagewireModel
import StagewireRecord

/// Stream memory: what is given back, what is moved out of the way, who may send more.
extension Router {
    /// Releases what no subscription needs.
    mutating func releaseStreams(at now: Moment) {
        for stream in streams.indices { release(stream, at: now) }
    }

    private mutating func release(_ stream: Int, at now: Moment) {
        // Invisible records are not released, even with nobody to read them: their step is not durable yet.
        // So are those of a group that is not written down.
        var needed = streams[stream].visibleEnd
        for subscriber in streams[stream].subscribers {
            if let own = self.needed(subscriber) { needed = min(needed, own) }
        }
        guard needed > streams[stream].log.tail else { return }
        let bytes = streams[stream].release(before: needed, workers: mostWorkers(of: stream), at: now)
        for subscriber in streams[stream].subscribers where subscriptions[subscriber].hasBacklog {
            guard subscriptions[subscriber].backlog!.end < streams[stream].log.tail else { continue }
            subscriptions[subscriber].backlog!.bytesOnDisk += bytes
        }
    }

    /// Of the reader that has most of them.
    private func mostWorkers(of stream: Int) -> Int {
        streams[stream].subscribers.reduce(0) { max($0, stages[subscriptions[$1].stage].sessions.count) }
    }

    /// How much the broker has to do: while it is what limits the pipeline, streams whose readers keep up are not filled. Whoever
    /// is slower than the broker, or waits for more than that, has whole windows.
    public mutating func note(_ load: BrokerLoad) {
        for stream in streams.indices {
            guard let old = streams[stream].turnover?.load, old != load else { continue }
            let wasShort = streams[stream].isShort
            streams[stream].turnover!.load = load
            if wasShort && !streams[stream].isShort { streams[stream].needsGrant = true }
        }
    }

    /// A stream that fills up because of one subscription: its stragglers move into the parking, and what its
    /// overflow policy gives up goes.
    mutating func relieve(_ stream: Int, at now: Moment) {
        if let due = streams[stream].lengthenIfStuck(at: now) { lookAgain(at: due) }
        guard isUnderPressure(stream) else {
            if options.isRecording {
                for subscriber in streams[stream].subscribers { subscriptions[subscriber].pace.rest() }
            }
            return
        }
        for subscriber in streams[stream].subscribers {
            while isUnderPressure(stream), needed(subscriber) == streams[stream].log.tail {
                guard yield(subscriber, at: now) || fallBehind(subscriber, at: now) else { break }
                release(stream, at: now)
            }
        }
    }

    func isUnderPressure(_ stream: Int) -> Bool {
        let bytes = streams[stream].bytes.window
        let records = streams[stream].records.window
        return streams[stream].log.bytes >= bytes - bytes / 4 || streams[stream].log.count >= records - records / 4
    }

    /// Makes one subscription need its oldest record less. False: it cannot.
    private mutating func yield(_ index: Int, at now: Moment) -> Bool {
        let low = subscriptions[index].progress.low
        let stream = subscriptions[index].stream
        if subscriptions[index].hasBacklog {
            // What is in its own memory is in nobody's way; what it holds beyond that is.
            let backlog = subscriptions[index].backlog!
            let needsStream = !backlog.isBehind && subscriptions[index].progress.cursor > backlog.end
            guard needsStream, isStraggler(index), moveIntoParking(low, index, at: now) else { return false }
            leaveBacklog(index)
            return true
        }
        guard low < subscriptions[index].progress.cursor else {
            guard low < streams[stream].visibleEnd else { return false }
            return giveUp(low, index)
        }
        // Who drops the oldest does not have the stream wait for what its workers hold either. Who drops the newest needs the
        // parking for what it keeps.
        let isInTheWay = isStraggler(index) || subscriptions[index].overflow == .dropOldest
        return isInTheWay && moveIntoParking(low, index, at: now)
    }

    /// Only a straggler is worth a copy: a worker that is merely slow would have every record copied.
    func isStraggler(_ index: Int) -> Bool {
        let low = subscriptions[index].progress.low
        let isWaiting = subscriptions[index].parking[low].map { $0.state != .inFlight } ?? false
        // Of few large records there are never so many: half of what is kept is enough then.
        let many = min(Limits.straggling, kept(for: index) / 2)
        return isWaiting || subscriptions[index].progress.stranded > many
    }

    /// Records in the memories from which a subscription is handed records.
    private func kept(for index: Int) -> Int {
        let inStream = streams[subscriptions[index].stream].log.count
        guard subscriptions[index].hasBacklog else { return inStream }
        let backlog = subscriptions[index].backlog!
        return backlog.log.count + (backlog.isBehind ? 0 : inStream)
    }

    mutating func moveIntoParking(_ sequence: UInt64, _ index: Int, at now: Moment) -> Bool {
        let record = reference(sequence, index)
        guard subscriptions[index].parking.hasRoom(bytes: record.wireLength) else { return false }
        if subscriptions[index].parking[sequence] == nil {
            guard let entry = entryInFlight(sequence, index) else {
                preconditionFailure("a needed record is in flight")
            }
            subscriptions[index].parking.insert(
                ParkedRecord(
                    state: .inFlight, key: entry.key, attempt: entry.attempt, firstAttempt: entry.delivered, block: nil),
                at: sequence)
        }
        subscriptions[index].parking.move(sequence, into: RecordBlock(copying: record))
        subscriptions[index].progress.finish(sequence)
        return true
    }

    /// Who has this record; a search, for stragglers only.
    private func entryInFlight(_ sequence: UInt64, _ index: Int) -> InFlight? {
        // Many workers have tens of thousands of records: first where it mostly is.
        for slot in stages[subscriptions[index].stage].sessions {
            let found = sessions[slot].deliveries.unsettled(sequence: sequence, input: subscriptions[index].input)
            if let found { return found }
        }
        for slot in stages[subscriptions[index].stage].sessions {
            var found: InFlight?
            sessions[slot].deliveries.forEachOwed { _, entry in
                if entry.sequence == sequence, Int(entry.input) == subscriptions[index].input, entry.state == .unsettled
                {
                    found = entry
                }
            }
            if let found { return found }
        }
        return nil
    }

    /// An undelivered record of a subscription that is in the way.
    private mutating func giveUp(_ sequence: UInt64, _ index: Int) -> Bool {
        switch subscriptions[index].overflow {
        case .block: return false
        case .dropOldest: break
        case .dropNewest:
            // What is kept is the oldest: it moves into the parking as long as that has room.
            if park(undelivered: sequence, index) { return true }
        }
        subscriptions[index].progress.skip()
        open.changes.done(index, sequence)
        subscriptions[index].counters.dropped += 1
        return true
    }

    private mutating func park(undelivered sequence: UInt64, _ index: Int) -> Bool {
        let record = streams[subscriptions[index].stream].log.ref(sequence)
        if let when = subscriptions[index].when, !when.matches(record.attribute) {
            subscriptions[index].progress.skip()
            open.changes.done(index, sequence)
            subscriptions[index].counters.unmatched += 1
            return true
        }
        guard !subscriptions[index].parking.isFull,
            subscriptions[index].parking.hasRoom(bytes: record.wireLength)
        else { return false }
        let key = subscriptions[index].orderingKey(record.keyHash)
        subscriptions[index].progress.skip()
        subscriptions[index].parking.insert(
            ParkedRecord(
                state: .waiting, key: key, attempt: 1, firstAttempt: 0, block: RecordBlock(copying: record)),
            at: sequence)
        if key == 0 {
            subscriptions[index].parking.ready.append(.record(sequence))
        } else {
            subscriptions[index].parking.enqueue(sequence, key: key, due: 0)
            subscriptions[index].parking.makeReady(key: key)
        }
        return true
    }

    // MARK: Credit for emissions

    mutating func grant(at now: Moment) {
        for stream in streams.indices where streams[stream].needsGrant {
            streams[stream].needsGrant = false
            grant(stream, at: now)
        }
    }

    private mutating func grant(_ stream: Int, at now: Moment) {
        let stage = streams[stream].stage
        let port = streams[stream].port
        let attached = stages[stage].sessions.count
        let bytePolicy = streams[stream].bytes
        let recordPolicy = streams[stream].records
        let occupiedBytes = streams[stream].log.bytes
        let occupiedRecords = streams[stream].log.count
        let absent = bytePolicy.sessions - attached
        var reserved = reserves(stream)
        // A short stream that is full as far as it is filled: its source waits for what passes. Other stages are paused instead, so their
        // credit goes by the whole window: to renew it for the little that passes would wake their workers after every turn.
        let isSource = stages[stage].definition.isSource
        let isHeldBack = isSource && (streams[stream].isFullThoughShort || isJournalBehind)
        let fill = isSource ? streams[stream].filled : (bytes: bytePolicy.window, records: recordPolicy.window)
        for slot in stages[stage].sessions {
            let old = sessions[slot].outputs[port]
            reserved.bytes -= bytePolicy.reserve(outstanding: old.outstandingBytes)
            reserved.records -= recordPolicy.reserve(outstanding: old.outstandingRecords)
            var bytes = 0
            var records = 0
            if !isHeldBack {
                bytes = bytePolicy.increase(
                    outstanding: old.outstandingBytes, occupied: occupiedBytes, reserved: reserved.bytes,
                    attached: attached, filled: fill.bytes)
                records = recordPolicy.increase(
                    outstanding: old.outstandingRecords, occupied: occupiedRecords, reserved: reserved.records,
                    attached: attached, filled: fill.records)
            }
            if old.isNew {
                let others = outstanding(stage, port: port)
                bytes = max(bytes, bytePolicy.first(occupied: occupiedBytes, others: others.bytes, absent: absent))
                records = max(
                    records, recordPolicy.first(occupied: occupiedRecords, others: others.records, absent: absent))
            }
            if bytes > 0 || records > 0 { extend(slot, port: port, records: records, bytes: bytes, at: now) }
            let new = sessions[slot].outputs[port]
            reserved.bytes += bytePolicy.reserve(outstanding: new.outstandingBytes)
            reserved.records += recordPolicy.reserve(outstanding: new.outstandingRecords)
        }
    }

    /// What the sessions of a stage may still send on a port.
    private func outstanding(_ stage: Int, port: Int) -> (bytes: Int, records: Int) {
        stages[stage].sessions.reduce((0, 0)) { sum, slot in
            let grant = sessions[slot].outputs[port]
            return (sum.0 + grant.outstandingBytes, sum.1 + grant.outstandingRecords)
        }
    }

    /// What all sessions that may exist keep of a stream's budget; checks that the budget holds.
    private func reserves(_ stream: Int) -> (bytes: Int, records: Int) {
        let stage = streams[stream].stage
        let absent = streams[stream].bytes.sessions - stages[stage].sessions.count
        var reserved = (bytes: absent * streams[stream].bytes.step, records: absent * streams[stream].records.step)
        var bytes = streams[stream].log.bytes
        var records = streams[stream].log.count
        for slot in stages[stage].sessions {
            let grant = sessions[slot].outputs[streams[stream].port]
            bytes += grant.outstandingBytes
            records += grant.outstandingRecords
            reserved.bytes += streams[stream].bytes.reserve(outstanding: grant.outstandingBytes)
            reserved.records += streams[stream].records.reserve(outstanding: grant.outstandingRecords)
        }
        precondition(
            bytes <= streams[stream].bytes.capacity && records <= streams[stream].records.capacity,
            "a stream and what may still be sent to it stay within its budget")
        return reserved
    }

    private mutating func extend(_ slot: Int, port: Int, records: Int, bytes: Int, at now: Moment) {
        let wasWaiting = waitsForCredit(slot)
        sessions[slot].outputs[port].extend(records: records, bytes: bytes)
        let raised = sessions[slot].outputs[port]
        effects.append(
            .send(
                sessions[slot].connection,
                .credit(CreditLimit(number: UInt32(port), records: raised.grantedRecords, bytes: raised.grantedBytes))))
        if wasWaiting && !waitsForCredit(slot) { sessions[slot].lastProgress = now.uptime }
    }

    /// Whether a step of the largest size would not fit this session's credit now: then its lease stands still.
    func waitsForCredit(_ slot: Int) -> Bool {
        sessions[slot].outputs.contains {
            $0.outstandingBytes < pipeline.limits.maxStepBytes || $0.outstandingRecords < pipeline.limits.maxStepRecords
        }
    }

    /// A worker can take more.
    mutating func raiseCredit(_ slot: Int, _ limit: CreditLimit, at now: Moment) {
        let connection = sessions[slot].connection
        guard Int(limit.number) < sessions[slot].inputs.count else {
            return close(
                connection,
                CloseReason(
                    .unknownPort, "Credit for input \(limit.number): this stage has \(sessions[slot].inputs.count)."),
                at: now)
        }
        _ = sessions[slot].inputs[Int(limit.number)].credit.raise(to: limit)
    }
}
