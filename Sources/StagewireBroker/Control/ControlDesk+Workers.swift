import StagewireControl
import StagewireRouter

/// The workers of a stage: sessions, which the router knows, and processes, which the host knows, brought together by
/// their instance. The only place where the two meet.
extension ControlDesk {
    func workers(_ stage: Int, _ line: PipelineSummary.Stage, now: UInt64) -> [WorkerStatus] {
        var sessions = line.sessions
        var workers: [WorkerStatus] = []
        for slot in lifecycle.host.slots where slot.stage == stage {
            let session = sessions.firstIndex { $0.instance == slot.instance }.map { sessions.remove(at: $0) }
            var worker = WorkerStatus(instance: slot.instance, state: Self.state(slot.phase, session))
            worker.pid = slot.occupant?.process.pid
            worker.lastExit = slot.failures.last.map(Self.exit)
            if let session { add(session, to: &worker, now: now) }
            workers.append(worker)
        }
        // Started by somebody else.
        for session in sessions {
            var worker = WorkerStatus(instance: session.instance, state: .attached)
            add(session, to: &worker, now: now)
            workers.append(worker)
        }
        return workers
    }

    /// "was killed by SIGSEGV", out of "the worker was killed by SIGSEGV" and its last lines.
    private static func exit(_ failure: String) -> String {
        String(failure.prefix { $0 != "\n" }.trimmingPrefix("the worker "))
    }

    private static func state(_ phase: Slot.Phase, _ session: PipelineSummary.Session?) -> WorkerStatus.State {
        if session != nil { return .attached }
        switch phase {
        case .waiting: return .waiting
        case .running(let occupant): return occupant.hasAttached ? .detached : .starting
        case .stopped: return .ended
        }
    }

    private func add(_ session: PipelineSummary.Session, to worker: inout WorkerStatus, now: UInt64) {
        worker.version = session.version
        worker.language = session.language
        worker.inFlight = session.inFlight
        worker.creditRecords = session.creditRecords
        worker.creditBytes = session.creditBytes
        worker.attachedSeconds = Self.seconds(now > session.attachedAt ? now - session.attachedAt : 0)
    }
}
