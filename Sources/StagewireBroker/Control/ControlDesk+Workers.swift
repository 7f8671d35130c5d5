import StagewireControl
import StagewireRouter

/// The workers of a stage: sessions, which the router knows, and processes, which the host knows, brought together by
/// their instance. The only place where the two meet.
extension ControlDesk {
    func workers(_ stage: Int, _ line: PipelineSummary.Stage, now: UInt64) -> [WorkerStatus] {
        var sessions = line.sessions
        var workers: [WorkerStatus] = []
        for hosted in lifecycle.host.workers(stage: stage) {
            let session = sessions.firstIndex { $0.instance == hosted.instance }.map { sessions.remove(at: $0) }
            var worker = WorkerStatus(instance: hosted.instance, state: Self.state(hosted.phase))
            worker.pid = hosted.pid
            worker.restarts = hosted.restarts
            worker.lastExit = hosted.lastExit
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

    private static func state(_ phase: HostedWorker.Phase) -> WorkerStatus.State {
        switch phase {
        case .starting: .starting
        case .attached: .attached
        case .detached: .detached
        case .waiting: .waiting
        case .ended: .ended
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
