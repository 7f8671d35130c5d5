import StagewireLedger
import StagewireModel

/// Going back in a stream: a person has records that were settled delivered once more, in the running pipeline. They are the
/// same records: their ids, and those of what stages derive from them, are those of the first time.
extension Router {
    /// Whether a subscription can go back: not once its workers were told that their input has ended.
    public func takesReplay(stage: Int) -> Bool { stages[stage].phase == .running && !isShuttingDown }

    /// Has a subscription go through its stream again, from this record on: as soon as what its workers have is settled.
    /// What waits for another attempt comes with the rest, as for the first time; dead letters stay dead letters.
    /// - Precondition: `takesReplay(stage:)`; the journal keeps everything from this record on
    /// - Returns: how many records workers have
    public mutating func replay(subscription index: Int, from sequence: UInt64) -> Int {
        precondition(options.isRecording && takesReplay(stage: subscriptions[index].stage))
        if let other = subscriptions[index].replay {
            // The one that goes back farther is both.
            effects.append(.replayDropped(subscription: index, from: max(sequence, other)))
            subscriptions[index].replay = min(sequence, other)
        } else {
            replays += 1
            subscriptions[index].replay = sequence
        }
        return subscriptions[index].inFlight
    }

    mutating func beginReplays(at now: Moment) {
        for index in subscriptions.indices {
            guard let start = subscriptions[index].replay else { continue }
            guard subscriptions[index].inFlight == 0 else {
                giveUpIfNothingMoves(index, start)
                continue
            }
            // Of a group under suspicion some may be with nobody, and have their turn.
            guard stages[subscriptions[index].stage].suspects.isEmpty else { continue }
            subscriptions[index].replay = nil
            replays -= 1
            guard start < settledBelow(index) else {
                effects.append(.replayDropped(subscription: index, from: start))
                sayReplay(
                    index, "does not go to record \(start) of \(name(ofInput: index)), which it has before it anyway")
                continue
            }
            goBack(index, to: start, at: now)
        }
    }

    /// Whether a worker of the stage has deliveries that it may keep until others come.
    func isHeldOnPurpose(_ stage: Int) -> Bool {
        stages[stage].sessions.contains { slot in
            sessions[slot].features.contains(.holds) && !sessions[slot].deliveries.isEmpty
        }
    }

    /// Windows that stand open when the input has ended close when their workers are told so, and these take no more then.
    private mutating func giveUpIfNothingMoves(_ index: Int, _ start: UInt64) {
        let stage = subscriptions[index].stage
        let end = streams[subscriptions[index].stream].log.end
        guard isHeldOnPurpose(stage), inputsEnded(stage), subscriptions[index].isHandedOutButForReplay(at: end)
        else { return }
        subscriptions[index].replay = nil
        replays -= 1
        effects.append(.replayDropped(subscription: index, from: start))
        sayReplay(
            index,
            "does not go to record \(start) of \(name(ofInput: index)): its input has ended, and its windows are open. When the broker "
                + "has ended, `stagewire replay --pipeline FILE` has the next run do it")
    }

    private mutating func goBack(_ index: Int, to start: UInt64, at now: Moment) {
        open.changes.rewound(index, to: start)
        touch(subscriptions[index].stage)
        let count = subscriptions[index].progress.cursor - start
        for arrival in subscriptions[index].parking.keepArrivals() {
            let due = arrival.record.due > now.uptime ? arrival.record.due : 0
            lineUp(arrival.sequence, key: arrival.record.key, due: due, index)
        }
        subscriptions[index].progress = Progress(at: start)
        subscriptions[index].backlog = Backlog(from: start)
        subscriptions[index].hasBacklog = true
        subscriptions[index].saidBlocked = false
        sayReplay(index, "goes back to record \(start) of \(name(ofInput: index)): \(count) records come again")
    }

    /// Everything below is settled. Less than where the subscription stands in its stream: what waits for another attempt may
    /// have been copied.
    private func settledBelow(_ index: Int) -> UInt64 {
        min(subscriptions[index].progress.low, subscriptions[index].parking.firstOfStream ?? .max)
    }

    private mutating func sayReplay(_ index: Int, _ text: String) {
        effects.append(.log(Notice(.info, stage: subscriptions[index].stage, text)))
    }

    private func name(ofInput index: Int) -> String {
        let stream = streams[subscriptions[index].stream]
        let stage = stages[stream.stage].definition
        return StreamName(stage: stage.name, port: stage.ports[stream.port]).description
    }

    /// At most once a second: retention and replays go by the time at which records came.
    mutating func noteTime() {
        guard wall < lastNoted || wall - lastNoted >= 1_000_000 else { return }
        lastNoted = wall
        open.changes.noted(wall)
    }
}
