import Glibc
import StagewireControl
import StagewireModel
import StagewireRouter

/// `GET /v1/status`: what the router counts and what the host knows of processes, side by side.
extension ControlDesk {
    var state: PipelineStatus.State {
        switch lifecycle.phase {
        case .running: .running
        case .draining: .draining
        case .ending, .over: .ending
        }
    }

    /// Until a drain is cut short.
    var drainSeconds: Double? {
        guard case .draining = lifecycle.phase, let ends = lifecycle.drainEnds else { return nil }
        let now = Clock.uptime()
        return ends > now ? Self.seconds(ends - now) : 0
    }

    func status() -> PipelineStatus {
        let summary = router.summary()
        let now = Clock.uptime()
        return PipelineStatus(
            pipeline: pipeline.name, state: state, durability: pipeline.durability.rawValue, pid: getpid(),
            stagewire: Release.version, socket: socketPath, controlSocket: controlPath,
            stateDirectory: statePath, startedAt: Timestamp.text(Int64(clamping: startedAt.wall)),
            uptimeSeconds: Self.seconds(now - startedAt.uptime), drainSeconds: drainSeconds, bytes: summary.bytes,
            stages: summary.stages.indices.map { stage($0, summary.stages[$0], now: now) })
    }

    /// To the millisecond.
    static func seconds(_ nanoseconds: UInt64) -> Double { (Double(nanoseconds) / 1_000_000).rounded() / 1000 }

    private func stage(_ index: Int, _ line: PipelineSummary.Stage, now: UInt64) -> StageStatus {
        let definition = pipeline.stages[index]
        let creditRecords = line.sessions.reduce(UInt64(0)) { $0.saturating(adding: $1.creditRecords) }
        let creditBytes = line.sessions.reduce(UInt64(0)) { $0.saturating(adding: $1.creditBytes) }
        return StageStatus(
            name: line.name, kind: kind(index), state: Self.state(line.phase),
            obstacle: line.obstacle.map(Self.obstacle), breaker: line.pause.map { Self.breaker($0, now: now) },
            inputs: inputs(definition, line), ports: definition.ports,
            workers: workers(index, line, now: now),
            workersWanted: definition.launch == nil ? nil : definition.workers, in: line.taken, out: line.emitted,
            filtered: line.filtered, retried: line.retried, dead: line.dead, dropped: line.dropped,
            unmatched: line.unmatched, crashes: line.crashes, delivered: line.delivered, inFlight: line.inFlight,
            queued: line.queued, deadLetters: line.deadLetters, creditRecords: creditRecords, creditBytes: creditBytes)
    }

    /// A sink is what nobody reads from.
    private func kind(_ index: Int) -> StageStatus.Kind {
        if pipeline.stages[index].isSource { return .source }
        let isRead = pipeline.stages.contains { $0.inputs.contains { $0.stage == index } }
        return isRead ? .transform : .sink
    }

    private func inputs(_ definition: StageDefinition, _ line: PipelineSummary.Stage) -> [StageStatus.Input] {
        zip(definition.inputs, line.inputs).map { input, state in
            let from = pipeline.stages[input.stage]
            return StageStatus.Input(
                stage: from.name, port: from.ports[input.port], when: input.when?.expression, queued: state.queued,
                inFlight: state.inFlight, deadLetters: state.deadLetters)
        }
    }

    private static func state(_ phase: PipelineSummary.Phase) -> StageStatus.State {
        switch phase {
        case .running: .running
        case .draining: .draining
        case .ended: .ended
        }
    }

    private static func obstacle(_ obstacle: PipelineSummary.Obstacle) -> StageStatus.Obstacle {
        switch obstacle {
        case .noWorker: .noWorker
        case .noCredit: .noCredit
        case .outputFull: .outputFull
        case .parkingFull: .parkingFull
        case .deadLettersFull: .deadLettersFull
        case .breakerOpen: .breakerOpen
        }
    }

    private static func breaker(_ pause: PipelineSummary.Pause, now: UInt64) -> StageStatus.Breaker {
        let finding = pause.finding
        return StageStatus.Breaker(
            state: pause.until == nil ? .trying : .open, seconds: pause.until.map { seconds($0 - min($0, now)) },
            dead: finding.dead, of: finding.of, reason: finding.reason.name, most: finding.most,
            error: failure(finding.error))
    }
}

extension UInt64 {
    fileprivate func saturating(adding other: UInt64) -> UInt64 {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? .max : sum
    }
}
