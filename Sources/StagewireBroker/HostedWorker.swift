/// One worker that the host keeps, as of now: what the control API says of its process.
struct HostedWorker: Equatable, Sendable {
    enum Phase: Equatable, Sendable {
        /// Runs, and has not attached yet.
        case starting
        case attached
        /// Runs without a session that it had: it comes back or ends.
        case detached
        /// Ended, and starts again after its backoff.
        case waiting
        /// Ended as it should, or given up.
        case ended
    }

    var instance: String
    var phase: Phase
    /// While it runs.
    var pid: Int32?
    /// Times that the host started it again.
    var restarts: Int
    /// How it ended the last time: "was killed by SIGSEGV".
    var lastExit: String?
}

extension Host {
    /// The workers of `stage`, in the order of their numbers; none when somebody else starts them.
    func workers(stage: Int) -> [HostedWorker] {
        slots.filter { $0.stage == stage }.map { slot in
            HostedWorker(
                instance: slot.instance, phase: phase(of: slot), pid: slot.occupant?.process.pid,
                restarts: max(0, slot.starts - 1), lastExit: slot.lastExit?.description)
        }
    }

    private func phase(of slot: Slot) -> HostedWorker.Phase {
        switch slot.phase {
        case .waiting: .waiting
        case .stopped: .ended
        case .running(let occupant):
            if occupant.isAttached { .attached } else { occupant.hasAttached ? .detached : .starting }
        }
    }
}
