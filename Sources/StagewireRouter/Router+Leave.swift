import DequeModule
import StagewireModel
import StagewireRecord

/// How sessions end, and what becomes of what they held.
extension Router {
    /// What an ended session's deliveries are taken for.
    enum Ending {
        /// It said goodbye: untouched, nobody's fault.
        case released
        /// One of them may be why it went.
        case crashed
        /// The oldest one took too long.
        case leaseExpired
    }

    /// The broker ends a connection: a peer's fault, a deadline, or the end of work.
    mutating func close(_ connection: ConnectionID, _ reason: CloseReason, at now: Moment, as ending: Ending? = nil) {
        switch connections[connection] {
        case nil, .closing?: return
        case .handshaking?:
            handshaking -= 1
            connections[connection] = .closing
            effects.append(.log(Notice(.warning, "refused a connection: \(reason.message)")))
        case .attached(let slot)?:
            connections[connection] = .closing
            let ending = ending ?? (reason.code == Code.ok.rawValue ? .released : .crashed)
            if reason.code != Code.ok.rawValue {
                let session = sessions[slot]
                effects.append(
                    .log(
                        Notice(.warning, stage: session.stage, instance: session.instance, "closed: \(reason.message)"))
                )
            }
            endSession(slot, as: ending, at: now)
        }
        effects.append(.close(connection, reason))
    }

    /// The worker ends its session.
    mutating func leave(_ connection: ConnectionID, slot: Int, _ reason: CloseReason, at now: Moment) {
        connections[connection] = .closing
        let clean = reason.code == Code.ok.rawValue
        if !clean {
            let session = sessions[slot]
            effects.append(
                .log(
                    Notice(
                        .warning, stage: session.stage, instance: session.instance,
                        "left with code \(reason.code): \(reason.message)")))
        }
        endSession(slot, as: clean ? .released : .crashed, at: now)
        effects.append(.close(connection, CloseReason(.ok, "")))
    }

    /// The connection is gone.
    mutating func disconnect(_ connection: ConnectionID, at now: Moment) {
        switch connections.removeValue(forKey: connection) {
        case .handshaking?: handshaking -= 1
        case .attached(let slot)?: endSession(slot, as: .crashed, at: now)
        case .closing?, nil: break
        }
    }

    private mutating func endSession(_ slot: Int, as ending: Ending, at now: Moment) {
        let session = sessions[slot]
        occasion += 1
        stages[session.stage].sessions.removeAll { $0 == slot }
        sessions[slot] = Session.vacant
        freeSlots.append(slot)
        for partition in session.claims where stages[session.stage].partitions[partition].owner == session.connection {
            stages[session.stage].partitions[partition].owner = nil
        }
        let shrinking = takeBack(session, as: ending, at: now)
        for stream in stages[session.stage].streams { streams[stream].needsGrant = true }
        guard ending != .released else { return }
        stages[session.stage].crashes += 1
        effects.append(.workerLost(stage: session.stage, instance: session.instance, shrinking: shrinking))
    }

    /// Takes what the session held back into the subscriptions' parking. Returns whether a suspect group shrank.
    private mutating func takeBack(_ session: Session, as ending: Ending, at now: Moment) -> Bool {
        var members: [SuspectGroup.Member] = []
        var isOldest = true
        session.deliveries.forEachOwed { id, entry in
            let subscription = session.inputs[Int(entry.input)].subscription
            subscriptions[subscription].inFlight -= 1
            if entry.key != 0 { subscriptions[subscription].lanes.leave(entry.key) }
            guard entry.state == .unsettled else { return }
            let wasOldest = isOldest
            isOldest = false
            switch ending {
            case .released: release(entry, subscription, at: now)
            case .crashed:
                park(entry, subscription, as: .suspect)
                members.append(.init(subscription: subscription, sequence: entry.sequence))
            case .leaseExpired:
                if wasOldest {
                    let error = DeliveryError(.leaseExpired, "No verdict within the lease.", indefinite: true)
                    retry(entry, subscription, delay: 0, error: error, at: now)
                } else {
                    wait(entry, subscription, due: 0)
                }
            }
        }
        return ending == .crashed && suspect(members, session, at: now)
    }
}
