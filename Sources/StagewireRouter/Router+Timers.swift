import StagewireModel

/// Deadlines.
extension Router {
    /// Uptime in nanoseconds at which a `tick` is due; `nil` when nothing is waited for.
    public var nextDeadline: UInt64? { timers.next }

    mutating func fireTimers(at now: Moment) {
        while let timer = timers.popDue(at: now.uptime) {
            switch timer {
            case .handshake(let connection):
                guard case .handshaking? = connections[connection] else { continue }
                close(
                    connection,
                    CloseReason(
                        .handshakeTimeout, "No Hello within \(pipeline.limits.handshake.milliseconds) ms of connecting."
                    ),
                    at: now)
            case .liveness(let connection):
                if let slot = slot(of: connection) { checkLiveness(slot, at: now) }
            case .lease(let connection):
                if let slot = slot(of: connection) { checkLease(slot, at: now) }
            case .retry(let subscription, .key(let key)): wake(key, subscription, at: now)
            case .retry(let subscription, .record(let sequence)):
                guard subscriptions[subscription].parking[sequence]?.state == .waiting else { continue }
                subscriptions[subscription].parking.ready.append(.record(sequence))
            case .breaker(let stage): wakeBreaker(stage, at: now)
            case .drainDeadline: cutOff(at: now)
            case .look: nextLook = 0
            }
        }
    }

    /// Something came from this worker.
    mutating func heard(_ slot: Int, at now: Moment) {
        sessions[slot].lastReceived = now.uptime
        sessions[slot].pinged = false
    }

    private mutating func checkLiveness(_ slot: Int, at now: Moment) {
        let session = sessions[slot]
        let heartbeat = pipeline.limits.heartbeat.nanoseconds
        let idle = pipeline.limits.idle.nanoseconds
        let silence = now.uptime - session.lastReceived
        let isJudgedByLease = session.features.contains(.singleThreaded) && !session.deliveries.isEmpty
        if silence >= idle && !isJudgedByLease {
            return close(
                session.connection,
                CloseReason(.idleTimeout, "Nothing was heard from this worker for \(silence / 1_000_000) ms."), at: now)
        }
        if silence >= heartbeat && !session.pinged {
            sessions[slot].pinged = true
            effects.append(.send(session.connection, .ping(nonce: now.uptime)))
        }
        // Behind a Ping every heartbeat, not only when `idle` is over: an answer that comes meanwhile begins the next one,
        // and whoever is pinged has the whole of `idle` less one heartbeat to answer.
        let next =
            sessions[slot].pinged
            ? min(session.lastReceived + idle, now.uptime + heartbeat) : session.lastReceived + heartbeat
        timers.arm(.liveness(session.connection), at: max(next, now.uptime + heartbeat / 4 + 1))
    }

    /// From the moment at which a session holds something its progress is watched.
    mutating func armLease(_ slot: Int) {
        guard !sessions[slot].isLeaseArmed, let oldest = sessions[slot].deliveries.oldest else { return }
        sessions[slot].isLeaseArmed = true
        let lease = stages[sessions[slot].stage].definition.lease.nanoseconds
        timers.arm(.lease(sessions[slot].connection), at: oldest.entry.delivered &+ lease)
    }

    private mutating func checkLease(_ slot: Int, at now: Moment) {
        let session = sessions[slot]
        guard let oldest = session.deliveries.oldest else {
            sessions[slot].isLeaseArmed = false
            return
        }
        let lease = stages[session.stage].definition.lease.nanoseconds
        // A worker that waits for credit has not failed (LE-1).
        if waitsForCredit(slot) { sessions[slot].lastProgress = now.uptime }
        let due = max(oldest.entry.delivered, sessions[slot].lastProgress) &+ lease
        guard due <= now.uptime else { return timers.arm(.lease(session.connection), at: due) }
        close(
            session.connection,
            CloseReason(
                .leaseExpired,
                "No Settle and no Extend for \(lease / 1_000_000) ms while it held \(session.deliveries.owed) deliveries."
            ),
            at: now, as: .leaseExpired)
    }
}
