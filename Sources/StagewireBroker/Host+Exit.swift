import NIOCore
import StagewireModel

/// What an exit means: the end of the work, a crash, or one more step towards a poison record.
extension Host {
    /// The process is gone. What that means depends on how its session ended, so that is waited for.
    func exited(_ slot: Slot, _ exit: WorkerProcess.Exit) {
        guard let occupant = slot.occupant else { preconditionFailure("only a running worker ends") }
        guard occupant.isAttached, !occupant.isLost, !isStopping else { return judge(slot, occupant, exit) }
        occupant.exit = exit
        occupant.watchdog?.cancel()
        occupant.watchdog = after(timing.sessionNews) { [weak self] in self?.judge(slot, occupant, exit) }
    }

    func judge(_ slot: Slot, _ occupant: Occupant, _ exit: WorkerProcess.Exit) {
        occupant.watchdog?.cancel()
        observer?.expects(.forgetWorker(token: occupant.token.bytes))
        slot.phase = .stopped
        slot.lastExit = exit.status
        if isStopping { return completeStop() }
        if exit.status.isSuccess, occupant.farewell != .none {
            endedNormally(slot, occupant)
        } else {
            endedEarly(slot, occupant, exit)
        }
    }

    /// After Close(0). A transform that took its leave while its stage still has work (some recycle themselves
    /// after so many records) is replaced: else nobody would do the rest. A source knows when it is done.
    private func endedNormally(_ slot: Slot, _ occupant: Occupant) {
        let hasWork = !endedStages.contains(slot.stage) && !pipeline.stages[slot.stage].isSource
        if occupant.farewell == .worker, hasWork, !isDraining {
            logger.info("ended by itself and is started again", metadata: slot.metadata)
            return restart(slot, after: RestartPolicy.first)
        }
        logger.debug("has ended", metadata: slot.metadata)
        warnIfAbandoned(slot.stage)
    }

    private func endedEarly(_ slot: Slot, _ occupant: Occupant, _ exit: WorkerProcess.Exit) {
        if endedStages.contains(slot.stage) {
            logger.warning("\(exit.status), but its stage had ended: nothing is lost", metadata: slot.metadata)
            return
        }
        if isDraining, pipeline.stages[slot.stage].isSource {
            logger.warning(
                "\(exit.status) while the pipeline drains; a source is not started again then",
                metadata: slot.metadata)
            return
        }
        if occupant.isShrinking {
            logger.warning(
                "\(exit.status) and starts again at once, to find the record that did it", metadata: slot.metadata)
            return restartNow(slot)
        }
        slot.note(exit)
        switch slot.policy.exited(startedAt: occupant.startedAt, now: Clock.uptime()) {
        case .restart(let delay):
            let manner = occupant.hasAttached ? early(exit.status) : "\(exit.status) before it attached"
            logger.warning("\(manner); it starts again in \(delay.milliseconds) ms", metadata: slot.metadata)
            restart(slot, after: delay)
        case .giveUp:
            observer?.givesUp(.failed(crashLoop(slot)))
        }
    }

    /// A status of 0 looks like success, and is none.
    private func early(_ status: ExitStatus) -> String {
        status.isSuccess ? "\(status) without a goodbye (Close) although there is work" : "\(status)"
    }

    private func crashLoop(_ slot: Slot) -> String {
        let first = slot.failures.first ?? ""
        var text = """
            stage \(slot.name): worker \(slot.instance) ended \(RestartPolicy.breakerExits) times within \
            \(RestartPolicy.breakerSpan.components.seconds) s, so the run stops. The first time, \(first)
            """
        if let last = slot.failures.last, last != first { text += "\nThe last time, \(last)" }
        return text
    }

    private func restart(_ slot: Slot, after delay: Duration) {
        slot.phase = .waiting(
            after(.nanoseconds(Int64(clamping: delay.nanoseconds))) { [weak self] in self?.restartNow(slot) })
    }

    /// What could be started before and cannot now may be away for a moment, as when its file is replaced or the
    /// machine has too many processes: that counts like an exit.
    func restartNow(_ slot: Slot) {
        do {
            try start(slot)
        } catch {
            slot.phase = .stopped
            slot.note("it could not be started: \(error)")
            let now = Clock.uptime()
            switch slot.policy.exited(startedAt: now, now: now) {
            case .restart(let delay):
                logger.warning("\(error); tried again in \(delay.milliseconds) ms", metadata: slot.metadata)
                restart(slot, after: delay)
            case .giveUp: observer?.givesUp(.unavailable(Self.named(error, slot).description))
            }
        }
    }

    /// A stage that nobody works at, although it is not done, is the one way in which a pipeline can stand
    /// still without a fault.
    private func warnIfAbandoned(_ stage: Int) {
        guard !endedStages.contains(stage), !isDraining else { return }
        let own = slots.filter { $0.stage == stage }
        let isAbandoned = own.allSatisfy { if case .stopped = $0.phase { true } else { false } }
        guard isAbandoned else { return }
        logger.warning(
            """
            all workers have ended, but not every partition was finished; the pipeline cannot complete. \
            Does the source send Finished for each partition that it claimed?
            """, metadata: ["stage": .string(pipeline.stages[stage].name)])
    }
}
