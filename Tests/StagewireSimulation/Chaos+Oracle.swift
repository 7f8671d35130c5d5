import StagewireModel
import StagewireRecord
import StagewireRouter

/// What must hold: at every moment, and in the end.
extension Chaos {
    // MARK: At every moment

    /// A worker is given a record. It is on the disk for good, it was not settled before, and what was tried is remembered.
    func given(_ received: Received, _ worker: RigWorker) {
        let (stage, payload) = (worker.stage, received.payload)
        let id = received.block.ref.id
        let isEdited = edited[stage].contains(payload)
        if let journal = rig.journal, !isEdited, !journal.isDurable(id, stream: stream(stage, received.input)) {
            faults.append("\(Self.names[stage]) was given \(payload) before it was durable")
        }
        let isTwofold = twofold[stage].contains(payload)
        if let before = accepted[stage][payload], !isTwofold {
            faults.append("\(Self.names[stage]) is given \(payload) again, which it accepted at \(before.value)")
        }
        if dropped[stage][payload] != nil, !isTwofold {
            faults.append("\(Self.names[stage]) is given \(payload), which was dropped")
        }
        if let least = attempts[stage][payload]?.last?.value, received.attempt < least, !isTwofold {
            faults.append("\(Self.names[stage]): \(payload) comes as attempt \(received.attempt), not \(least)")
        }
        seen[stage][payload, default: []].insert(id)
    }

    private func stream(_ stage: Int, _ input: Int) -> Int {
        let definition = rig.pipeline.stages[stage].inputs[input]
        return rig.pipeline.stages[..<definition.stage].reduce(definition.port) { $0 + $1.ports.count }
    }

    /// A worker is told something. What rests on it is on the disk for good.
    func told(_ message: ControlMessage, _ worker: RigWorker) {
        guard let journal = rig.journal else { return }
        switch message {
        case .committed(let partition, let through, _):
            let last = journal.position(stage: worker.stage, partition: partition).lastEmitID
            if through > last { faults.append("\(partition) was told \(through), durable is \(last)") }
        case .claimed(let partition, let epoch, let lastEmitID, let checkpoint):
            let known = journal.position(stage: worker.stage, partition: partition)
            if epoch > known.epoch || lastEmitID > known.lastEmitID {
                faults.append("\(partition) was told of emit \(lastEmitID) in epoch \(epoch), durable is \(known)")
            }
            let expected = lastEmitID == 0 ? "" : "after \(lastEmitID)"
            if String(decoding: checkpoint, as: UTF8.self) != expected {
                faults.append("\(partition) at \(lastEmitID) has the checkpoint \(checkpoint)")
            }
        case .settled(let through, _):
            let early = said[worker.connection]?.first { $0.delivery <= through && $0.ticket > journal.durableTicket }
            if let early {
                faults.append("\(worker.name): delivery \(early.delivery) was confirmed before it was durable")
            }
            said[worker.connection]?.removeAll { $0.delivery <= through }
        case _: break
        }
    }

    // MARK: In the end

    func verdicts() -> [String] {
        let dead = Self.names.indices.map { stage in
            Set(dropped[stage].keys).union(
                rig.router.deadLetters(stage: stage).map { String(decoding: $0.record.ref.payload, as: UTF8.self) })
        }
        let derived = emitted.filter { !dead[Self.transform].contains($0) }.flatMap(Self.outputs)
        faults += compare(Self.transform, emitted, dead[Self.transform])
        faults += compare(Self.sink, derived, dead[Self.sink])
        if options.auditOverflow == .block {
            let read = emitted + (options.auditReadsBoth ? derived : [])
            let wanted = options.auditHasCondition ? read.filter(isWanted) : read
            faults += compare(Self.audit, wanted, dead[Self.audit])
        }
        for stage in [Self.transform, Self.sink] { faults += orderFaults(stage) }
        let summary = rig.router.summary()
        let letters = Self.names.indices.reduce(0) { sum, stage in
            rig.router.deadLetters(stage: stage).reduce(sum) { $0 + $1.bytes }
        }
        if summary.bytes != letters { faults.append("memory is still held at the end: \(summary.bytes) bytes") }
        guard let journal = rig.journal else {
            let count = summary.stages[Self.transform].emitted
            if count != UInt64(derived.count) { faults.append("transform emitted \(count), expected \(derived.count)") }
            return faults
        }
        if journal.payloads[0].sorted() != emitted.sorted() { faults.append("the source's stream is another") }
        if journal.payloads[1].sorted() != derived.sorted() { faults.append("the transform's stream is another") }
        return lastStart(letters: summary.stages.map(\.deadLetters))
    }

    /// The machine goes once more, and a start finds nothing to do but the dead letters.
    private func lastStart(letters: [Int]) -> [String] {
        rig.start()
        let found = rig.router.summary()
        if found.stages.map(\.deadLetters) != letters {
            faults.append("\(found.stages.map(\.deadLetters)) dead letters after the end, not \(letters)")
        }
        if found.unsettled > 0 { faults.append("\(found.unsettled) records are unsettled after the end") }
        return faults + (rig.journal?.faults ?? [])
    }

    private func compare(_ stage: Int, _ expected: [String], _ dead: Set<String>) -> [String] {
        var faults: [String] = []
        let name = Self.names[stage]
        let accepted = Set(accepted[stage].keys).subtracting(dead)
        let wanted = Set(expected).subtracting(dead)
        if accepted != wanted {
            faults.append(
                "\(name): lost \(wanted.subtracting(accepted).sorted().prefix(5)), unexpected "
                    + "\(accepted.subtracting(wanted).sorted().prefix(5))")
        }
        for (payload, ids) in seen[stage].sorted(by: { $0.key < $1.key })
        where ids.count > 1 && !edited[stage].contains(payload) && !edited[Self.transform].contains(origin(of: payload))
        {
            faults.append("\(name): \(payload) came under \(ids.count) ids")
        }
        return faults
    }

    /// Per key, what counted was accepted in the order in which the source emitted it.
    private func orderFaults(_ stage: Int) -> [String] {
        guard rig.pipeline.stages[stage].ordering == .key else { return [] }
        let sequence = stage == Self.transform ? emitted : emitted.flatMap(Self.outputs)
        var last: [String: (time: Int, payload: String)] = [:]
        var faults: [String] = []
        for payload in sequence {
            // A retried letter is a new arrival; so is, then, what it gave rise to.
            guard let time = accepted[stage][payload]?.value, case let key = key(of: payload), !key.isEmpty,
                !revived[stage].contains(payload), !twofold[stage].contains(payload),
                !revived[Self.transform].contains(origin(of: payload))
            else { continue }
            if let before = last[key], before.time > time {
                faults.append("stage \(stage): \(before.payload) after \(payload)")
            }
            last[key] = (time, payload)
        }
        return faults
    }
}
