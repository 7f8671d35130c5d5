import StagewireModel
import StagewireRecord

/// The end of work: a source that has nothing more, a pipeline that drains from its sources downward.
extension Router {
    mutating func shutDown(within deadline: Duration, at now: Moment) {
        guard !isShuttingDown else { return }
        isShuttingDown = true
        shutdownDeadline = now.uptime &+ deadline.nanoseconds
        timers.arm(.drainDeadline, at: shutdownDeadline)
        for stage in stages.indices where stages[stage].definition.isSource {
            for slot in stages[stage].sessions { sendDrain(slot, at: now) }
        }
    }

    /// Without a journal there is no next run to leave anything to.
    mutating func suspend(within deadline: Duration, at now: Moment) {
        precondition(options.isRecording, "what waits for the next run has to be written down")
        guard !isShuttingDown else { return }
        isSuspending = true
        shutDown(within: deadline, at: now)
        for stage in stages.indices where !stages[stage].definition.isSource {
            for slot in stages[stage].sessions { sendDrain(slot, at: now) }
        }
    }

    mutating func sendDrain(_ slot: Int, at now: Moment) {
        let stage = sessions[slot].stage
        let isAsked = isSuspending || stages[stage].definition.isSource || stages[stage].phase == .draining
        guard !sessions[slot].isDraining, isAsked else { return }
        sessions[slot].isDraining = true
        // 0: no deadline; a finite pipeline takes the time that its records need.
        let left = isShuttingDown ? shutdownDeadline - min(shutdownDeadline, now.uptime) : 0
        let isSource = stages[stage].definition.isSource
        let reason: DrainReason = isSuspending || isShuttingDown && isSource ? .shutdown : .inputEnded
        effects.append(
            .send(sessions[slot].connection, .drain(reason, deadlineMS: UInt32(clamping: left / 1_000_000))))
    }

    /// Moves every stage on whose inputs have ended. Stages stand in topological order, so one pass is enough.
    mutating func advanceEnding(at now: Moment) {
        guard !hasEnded else { return }
        for stage in stages.indices {
            switch stages[stage].phase {
            case .ended: continue
            case .running:
                if stages[stage].definition.isSource {
                    if isSourceDone(stage) { end(stage, at: now) }
                } else if isSuspending {
                    endIfEmptyHanded(stage, at: now)
                } else if inputsEnded(stage), isHandedOut(stage) {
                    stages[stage].phase = .draining
                    for slot in stages[stage].sessions { sendDrain(slot, at: now) }
                    endIfSettled(stage, at: now)
                }
            case .draining where isSuspending: endIfEmptyHanded(stage, at: now)
            case .draining: endIfSettled(stage, at: now)
            }
        }
        guard stages.allSatisfy({ $0.phase == .ended }) else { return }
        hasEnded = true
        effects.append(.pipelineEnded)
    }

    private func isSourceDone(_ stage: Int) -> Bool {
        // Part by part: a copy of the stage would count all of its references, and every turn asks.
        guard stages[stage].changedIn <= committed else { return false }
        for stream in stages[stage].streams where streams[stream].visibleEnd != streams[stream].log.end { return false }
        if isShuttingDown { return stages[stage].sessions.isEmpty }
        guard !options.keepRunning, !stages[stage].finishedInstances.isEmpty else { return false }
        let needed = stages[stage].definition.launch == nil ? 1 : stages[stage].definition.workers
        return stages[stage].finishedInstances.count >= needed && stages[stage].partitions.allSatisfy(\.isFinished)
    }

    func inputsEnded(_ stage: Int) -> Bool {
        stages[stage].definition.inputs.allSatisfy { stages[$0.stage].phase == .ended }
    }

    private func isHandedOut(_ stage: Int) -> Bool {
        stages[stage].subscriptions.allSatisfy {
            subscriptions[$0].isHandedOut(at: streams[subscriptions[$0].stream].log.end)
        }
    }

    private mutating func endIfSettled(_ stage: Int, at now: Moment) {
        // What its workers were told last has to be durable, and what they wait for has to be said.
        guard stages[stage].changedIn <= committed else { return }
        for index in stages[stage].subscriptions
        where !subscriptions[index].isIdle(at: streams[subscriptions[index].stream].log.end) { return }
        for stream in stages[stage].streams where streams[stream].visibleEnd != streams[stream].log.end { return }
        end(stage, at: now)
    }

    /// A worker that holds nothing goes, and with the last one the stage: what it has not handled stays (EN-4).
    private mutating func endIfEmptyHanded(_ stage: Int, at now: Moment) {
        // First what was settled last is made durable, and confirmed to whoever waits for that.
        guard stages[stage].changedIn <= committed else { return }
        for slot in stages[stage].sessions where sessions[slot].deliveries.isEmpty {
            close(
                sessions[slot].connection, CloseReason(.ok, "The pipeline stops; the rest waits for its next run."),
                at: now)
        }
        if stages[stage].sessions.isEmpty { end(stage, at: now) }
    }

    private mutating func end(_ stage: Int, at now: Moment) {
        stages[stage].phase = .ended
        for slot in stages[stage].sessions {
            close(sessions[slot].connection, CloseReason(.ok, "Everything is settled."), at: now)
        }
        effects.append(.stageEnded(stage: stage))
    }

    /// The drain took too long: what is unsettled counts as released, and in memory it is gone.
    mutating func cutOff(at now: Moment) {
        guard !hasEnded else { return }
        for slot in stages.flatMap(\.sessions) {
            close(
                sessions[slot].connection,
                CloseReason(.drainDeadline, "The pipeline stops and its drain deadline has passed."),
                at: now, as: .released)
        }
        hasEnded = true
        effects.append(.pipelineEnded)
    }
}
