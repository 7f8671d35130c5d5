import StagewireLedger
import StagewireModel
import StagewireRecord

/// Going on where an earlier run has stopped: streams, positions, dead letters as they were; whatever was with a worker
/// waits in order to be delivered again. That a delivery was cut short by the broker's end is nobody's fault: it does not
/// count as an attempt.
extension Router {
    mutating func restore(_ recovered: Recovered, at now: Moment) {
        precondition(
            recovered.streams.count == streams.count && recovered.subscriptions.count == subscriptions.count,
            "what was recovered is numbered as in this pipeline")
        for stream in streams.indices { restore(recovered.streams[stream], stream) }
        for stage in stages.indices {
            stages[stage].buried = recovered.lastLetters[stage]
            for (name, position) in recovered.positions[stage] { restore(name, position, stage) }
        }
        for run in recovered.runs where runs.count < Limits.runs {
            var key = run
            key.number = 0
            runNumbers[key] = run.number
            runs.append(run)
        }
        for index in subscriptions.indices { restore(recovered.subscriptions[index], index, at: now) }
    }

    private mutating func restore(_ recovered: Recovered.Stream, _ stream: Int) {
        streams[stream].log = StreamLog(from: recovered.first)
        for record in recovered.records {
            while streams[stream].log.end < record.sequence { streams[stream].log.appendNothing() }
            streams[stream].log.append(wire: record.bytes.span.bytes)
        }
        while streams[stream].log.end < recovered.end { streams[stream].log.appendNothing() }
        if recovered.records.count < Int(recovered.end - recovered.first) { streams[stream].wholeFrom = recovered.end }
        streams[stream].visibleEnd = recovered.end
        streams[stream].sealedEnd = recovered.end
    }

    /// Whether a partition is finished is for this run's workers to say: one that nobody claims any more does not keep the
    /// pipeline from ending.
    private mutating func restore(_ name: String, _ position: SourcePosition, _ stage: Int) {
        guard let index = partition(named: name, stage: stage) else { return }
        stages[stage].partitions[index].epoch = position.epoch
        stages[stage].partitions[index].lastEmitID = position.lastEmitID
        stages[stage].partitions[index].checkpoint = position.checkpoint
        stages[stage].partitions[index].isFinished = true
    }

    private mutating func restore(_ recovered: Recovered.Subscription, _ index: Int, at now: Moment) {
        subscriptions[index].arrivals = recovered.arrivalCount
        for letter in recovered.letters { restore(letter, index) }
        for held in recovered.held {
            wait(held.sequence, held.record, recovered.trials[held.sequence], index, at: now)
        }
        let stream = subscriptions[index].stream
        let first = streams[stream].log.tail
        guard recovered.cursor >= first else {
            // What was delivered is held; the rest is read when its turn has come.
            subscriptions[index].progress = Progress(at: recovered.cursor)
            subscriptions[index].backlog = Backlog(from: recovered.cursor)
            subscriptions[index].backlog!.bytesOnDisk = recovered.bytesOnDisk
            subscriptions[index].hasBacklog = true
            return
        }
        subscriptions[index].progress = Progress(at: max(first, min(recovered.done.low, streams[stream].log.end)))
        // Everything below was looked at: records that are not done with were with a worker, or waited.
        for sequence in subscriptions[index].progress.low..<max(subscriptions[index].progress.low, recovered.cursor) {
            guard !recovered.done.contains(sequence) else {
                subscriptions[index].progress.skip()
                continue
            }
            subscriptions[index].progress.advance()
            wait(sequence, nil, recovered.trials[sequence], index, at: now)
        }
    }

    private mutating func restore(_ letter: Recovered.Letter, _ index: Int) {
        subscriptions[index].dead.add(
            DeadLetter(
                number: letter.verdict.number, input: subscriptions[index].input, record: letter.record,
                attempts: letter.verdict.attempts, reason: Code(rawValue: letter.verdict.reason) ?? .rejected,
                error: letter.verdict.error, time: letter.verdict.time))
        if letter.isAsked { _ = subscriptions[index].dead.requestRetry(of: [letter.verdict.number]) }
    }

    /// Parks a record as waiting, as it was before.
    private mutating func wait(
        _ sequence: UInt64, _ block: RecordBlock?, _ trial: Trial?, _ index: Int, at now: Moment
    ) {
        let keyHash = block?.ref.keyHash ?? streams[subscriptions[index].stream].log.ref(sequence).keyHash
        let key = subscriptions[index].orderingKey(keyHash)
        var record = ParkedRecord(
            state: .waiting, key: key, attempt: trial?.attempt ?? 1, firstAttempt: 0, block: block)
        if let trial {
            record.crashes = trial.crashes
            record.due = trial.delay == 0 ? 0 : now.uptime + trial.delay * 1_000_000
            // 0 would mean that it was never tried.
            record.firstAttempt = max(1, now.uptime - min(now.uptime, trial.age * 1_000_000))
        }
        subscriptions[index].parking.insert(record, at: sequence)
        lineUp(sequence, key: key, due: record.due, index)
    }

    /// Has a record that was parked as waiting wait in its key's queue, or on its own: until `due` (uptime), or for a worker (0).
    mutating func lineUp(_ sequence: UInt64, key: UInt64, due: UInt64, _ index: Int) {
        guard key != 0 else {
            if due > 0 { return timers.arm(.retry(subscription: index, .record(sequence)), at: due) }
            return subscriptions[index].parking.ready.append(.record(sequence))
        }
        let isHead = subscriptions[index].parking.enqueue(sequence, key: key, due: due)
        if due > 0 { timers.arm(.retry(subscription: index, .key(key)), at: due) }
        if isHead && due == 0 { subscriptions[index].parking.makeReady(key: key) }
    }
}
