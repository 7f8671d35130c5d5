import StagewireModel
import StagewireRecord

/// Sources: partitions, emissions, positions.
extension Router {
    mutating func claim(_ name: String, slot: Int, at now: Moment) {
        let session = sessions[slot]
        let stage = session.stage
        guard stages[stage].definition.isSource else {
            return close(
                session.connection,
                CloseReason(
                    .notClaimed, "Stage \(stages[stage].definition.name) is no source: it has nothing to claim."),
                at: now)
        }
        guard let index = partition(named: name, stage: stage) else {
            return close(
                session.connection,
                CloseReason(.invalidPartition, "A source has at most \(Limits.partitions) partitions."), at: now)
        }
        if let owner = stages[stage].partitions[index].owner, owner != session.connection {
            close(
                owner,
                CloseReason(.fenced, "Partition \"\(name)\" was claimed by instance \(session.instance)."), at: now,
                as: .released)
        }
        if stages[stage].partitions[index].owner != session.connection {
            stages[stage].partitions[index].owner = session.connection
            stages[stage].partitions[index].epoch += 1
            sessions[slot].claims.append(index)
        }
        stages[stage].partitions[index].isFinished = false
        move(stage, index)
        let partition = stages[stage].partitions[index]
        // Through the group of steps: what it tells of earlier emissions has to be durable.
        open.confirm(
            session.connection,
            .claimed(
                partition: name, epoch: partition.epoch, lastEmitID: partition.lastEmitID,
                checkpoint: partition.checkpoint))
    }

    /// Where a source is has changed.
    private mutating func move(_ stage: Int, _ partition: Int) {
        open.moved(stage: stage, partition: partition)
        stages[stage].changedIn = nextTicket
    }

    mutating func partition(named name: String, stage: Int) -> Int? {
        if let known = stages[stage].partitionIndex[name] { return known }
        guard stages[stage].partitions.count < Limits.partitions else { return nil }
        let origin = OriginID(pipeline: pipeline.name, stage: stages[stage].definition.name, partition: name)
        stages[stage].partitions.append(Partition(name: name, origin: origin))
        let index = stages[stage].partitions.count - 1
        stages[stage].partitionIndex[name] = index
        return index
    }

    public mutating func emit(_ connection: ConnectionID, _ batch: borrowing StepBatch, frame: RawSpan, at now: Moment)
    {
        wall = now.wall
        guard let slot = slot(of: connection) else { return refuseEarly(connection, at: now) }
        heard(slot, at: now)
        do throws(CloseReason) {
            let partition = try claimedPartition(batch, frame, slot)
            for index in batch.emissions.indices where !batch.emissions[index].parents.isEmpty {
                throw CloseReason(.invalidOutcome, "A source's emission has no parents.")
            }
            try charge(slot, batch)
            try apply(batch, frame: frame, slot: slot, partition: partition, at: now)
        } catch {
            close(connection, error, at: now)
        }
    }

    private func claimedPartition(_ batch: borrowing StepBatch, _ frame: RawSpan, _ slot: Int) throws(CloseReason)
        -> Int
    {
        let stage = sessions[slot].stage
        let name = text(batch.partition, frame)
        guard let index = stages[stage].partitionIndex[name],
            stages[stage].partitions[index].owner == sessions[slot].connection
        else {
            throw CloseReason(.notClaimed, "Emit for partition \"\(name)\", which this session has not claimed.")
        }
        return index
    }

    private func text(_ range: ByteRange, _ frame: RawSpan) -> String {
        String(decoding: bytes(range, frame), as: UTF8.self)
    }

    private func bytes(_ range: ByteRange, _ frame: RawSpan) -> [UInt8] {
        let start = Int(range.offset)
        return frame.extracting(start..<start + Int(range.length)).withUnsafeBytes { Array($0) }
    }

    private mutating func apply(
        _ batch: borrowing StepBatch, frame: RawSpan, slot: Int, partition: Int, at now: Moment
    ) throws(CloseReason) {
        let connection = sessions[slot].connection
        let stage = sessions[slot].stage
        let name = stages[stage].partitions[partition].name
        let last = stages[stage].partitions[partition].lastEmitID
        guard batch.emitID > last else {
            // Sent again after a reconnect: it was applied the first time.
            return open.confirm(connection, .committed(partition: name, through: last, refused: []))
        }
        guard batch.emitID == last + 1 else {
            throw CloseReason(
                .emitOutOfSequence,
                "Emit \(batch.emitID) of partition \"\(name)\" follows \(last): ids are consecutive.")
        }
        stages[stage].partitions[partition].lastEmitID = batch.emitID
        move(stage, partition)
        if let error = check(batch, 0..<batch.emissions.count)?.error {
            effects.append(
                .log(
                    Notice(
                        .warning, stage: stage, instance: sessions[slot].instance,
                        "refused emit \(batch.emitID) of \(name): \(error.message)")))
            return open.confirm(
                connection,
                .committed(partition: name, through: batch.emitID, refused: [Refusal(id: batch.emitID, error: error)]))
        }
        let origin = stages[stage].partitions[partition].origin
        let hop = HopStamp(run: sessions[slot].run, attempt: 1, wall: now.wall)
        var ordinal = 0
        while ordinal < batch.emissions.count {
            ordinal += append(batch, from: ordinal, frame: frame, stage: stage, origin, hop: hop)
        }
        stages[stage].partitions[partition].checkpoint = bytes(batch.checkpoint, frame)
        open.confirm(connection, .committed(partition: name, through: batch.emitID, refused: []))
    }

    /// Puts the emissions from `first` on that go to one port at the end of its stream, and says how many those are.
    private mutating func append(
        _ batch: borrowing StepBatch, from first: Int, frame: RawSpan, stage: Int, _ origin: OriginID, hop: HopStamp
    ) -> Int {
        let port = batch.emissions[first].port
        let stream = stages[stage].streams[Int(port)]
        let isRouted = !streams[stream].subscribers.isEmpty
        var ordinal = first
        var bytes = 0
        while ordinal < batch.emissions.count, batch.emissions[ordinal].port == port {
            if isRouted {
                bytes += streams[stream].log.append(
                    batch.emissions[ordinal], of: origin.source(emitID: batch.emitID, ordinal: UInt64(ordinal)),
                    frame: frame, hop: hop)
            }
            ordinal += 1
        }
        stages[stage].emitted += UInt64(ordinal - first)
        if isRouted { open.appended(to: stream, bytes: bytes) } else { counters.unrouted += UInt64(ordinal - first) }
        return ordinal - first
    }

    mutating func finish(_ name: String, slot: Int, at now: Moment) {
        let session = sessions[slot]
        let stage = session.stage
        guard let index = stages[stage].partitionIndex[name],
            stages[stage].partitions[index].owner == session.connection
        else {
            return close(
                session.connection,
                CloseReason(.notClaimed, "Finished for partition \"\(name)\", which this session has not claimed."),
                at: now)
        }
        stages[stage].partitions[index].isFinished = true
        stages[stage].partitions[index].owner = nil
        sessions[slot].claims.removeAll { $0 == index }
        stages[stage].finishedInstances.insert(session.instance)
        touch(stage)
    }
}

extension StreamLog {
    fileprivate mutating func append(
        _ emission: StepBatch.Emission, of id: RecordID, frame: RawSpan, hop: HopStamp
    ) -> Int {
        append(
            source: id, trace: frame.extracting(emission.trace.range), hop: hop,
            output: frame.extracting(emission.output.range), keyHash: emission.keyHash)
    }
}
