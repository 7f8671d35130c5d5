import StagewireModel
import StagewireRecord

/// Handshake: from a connection to a session, or to a sentence that says why not.
extension Router {
    mutating func connect(_ connection: ConnectionID, uid: UInt32, at now: Moment) {
        connections[connection] = .handshaking
        handshaking += 1
        guard connections.count <= Limits.connections, handshaking <= Limits.unauthenticated else {
            return close(
                connection,
                CloseReason(
                    .tooManyConnections,
                    "The broker has \(connections.count - 1) connections, \(handshaking - 1) of them without a Hello; "
                        + "try again later."), at: now)
        }
        if let owner = options.owner, uid != owner, uid != 0 {
            return close(
                connection,
                CloseReason(
                    .unauthenticated,
                    "This broker belongs to user \(owner); a worker of user \(uid) may not attach. Start both as one user."
                ),
                at: now)
        }
        timers.arm(.handshake(connection), at: now.uptime + pipeline.limits.handshake.nanoseconds)
    }

    mutating func attach(_ connection: ConnectionID, _ hello: Hello, at now: Moment) {
        do throws(CloseReason) {
            try checkVersion(hello)
            try checkFeatures(hello)
            let (stage, instance) = try place(hello)
            let maxFrame = try frameLimit(hello)
            if stages[stage].phase == .ended {
                throw CloseReason(.ok, "Stage \(hello.stage) has ended: everything is settled.")
            }
            openSession(connection, hello, stage: stage, instance: instance, maxFrame: maxFrame, at: now)
        } catch {
            close(connection, error, at: now)
        }
    }

    private func checkVersion(_ hello: Hello) throws(CloseReason) {
        let ours = ProtocolVersion.current
        let text = ProtocolVersion.text
        guard ProtocolVersion.major(hello.minVersion) == ProtocolVersion.major(hello.maxVersion),
            hello.minVersion <= hello.maxVersion
        else {
            throw CloseReason(.malformedHello, "min_version and max_version have to be of one major version, in order.")
        }
        guard hello.minVersion <= ours, hello.maxVersion >= ours else {
            let remedy = hello.minVersion > ours ? "update the broker" : "update the worker's SDK"
            throw CloseReason(
                .unsupportedVersion,
                "This broker speaks version \(text(ours)), the worker \(text(hello.minVersion)) to "
                    + "\(text(hello.maxVersion)): \(remedy).")
        }
    }

    private func checkFeatures(_ hello: Hello) throws(CloseReason) {
        for feature in hello.required where !Feature.supported.contains(feature) {
            throw CloseReason(
                .unsupportedFeature,
                "The worker requires the feature \"\(feature)\", which this broker does not have; it has "
                    + Feature.supported.joined(separator: ", ") + ".")
        }
    }

    private func frameLimit(_ hello: Hello) throws(CloseReason) -> Int {
        let offered = hello.maxFrame == 0 ? UInt64(Limits.defaultFrame) : hello.maxFrame
        let needed = max(Limits.minimumFrame, pipeline.limits.maxRecord + Limits.frameOverhead)
        guard offered >= UInt64(needed) else {
            throw CloseReason(
                .frameLimitTooSmall,
                "The worker accepts frames of \(offered) bytes; records of this pipeline need \(needed) "
                    + "(max_record + 64 KiB): raise the worker's frame limit or lower the pipeline's max_record.")
        }
        return Int(min(offered, UInt64(max(Limits.defaultFrame, needed)), UInt64(Limits.ceilingFrame)))
    }

    /// Which stage and instance this worker is, and whether it may be.
    private mutating func place(_ hello: Hello) throws(CloseReason) -> (stage: Int, instance: String) {
        guard let stage = stages.firstIndex(where: { $0.definition.name == hello.stage }) else {
            let names = stages.map(\.definition.name).joined(separator: ", ")
            throw CloseReason(.unknownStage, "This pipeline has no stage \"\(hello.stage)\"; it has \(names).")
        }
        var instance = try spawnedInstance(hello, stage: stage) ?? hello.instance
        if instance.isEmpty {
            stages[stage].unnamed += 1
            instance = "\(hello.stage)-x\(stages[stage].unnamed)"
        }
        for slot in stages[stage].sessions where sessions[slot].instance == instance {
            throw CloseReason(
                .duplicateInstance,
                "An instance \"\(instance)\" of stage \(hello.stage) is attached already: give this one another "
                    + "name, or stop the other one.")
        }
        let most = stages[stage].definition.maxWorkers
        guard stages[stage].sessions.count < most else {
            throw CloseReason(
                .stageFull, "Stage \(hello.stage) has its \(most) workers: raise max_workers, or stop one of them.")
        }
        return (stage, instance)
    }

    /// The instance for which the host gave out the worker's token; `nil` for a worker that needs none.
    private func spawnedInstance(_ hello: Hello, stage: Int) throws(CloseReason) -> String? {
        if hello.token.isEmpty {
            guard stages[stage].definition.launch == nil else {
                throw CloseReason(
                    .unauthenticated,
                    "Stage \(hello.stage) is started by the broker, so its workers need the token in STAGEWIRE_TOKEN; "
                        + "write `attach: external` in the pipeline to start them yourself.")
            }
            return nil
        }
        for known in tokens where known.stage == stage && known.token == hello.token {
            return known.instance
        }
        throw CloseReason(.unauthenticated, "The token is not one that this broker gave to stage \(hello.stage).")
    }

    private mutating func openSession(
        _ connection: ConnectionID, _ hello: Hello, stage: Int, instance: String, maxFrame: Int,
        at now: Moment
    ) {
        let features = Feature.supported.filter { hello.offered.contains($0) || hello.required.contains($0) }
        let run = runNumber(
            Run(
                number: 0, stage: hello.stage, version: hello.stageVersion, instance: instance,
                language: hello.language))
        let session = Session(
            connection: connection, stage: stage, instance: instance, run: run,
            features: SessionFeatures(named: features), maxFrame: maxFrame, attachedAt: now.uptime,
            inputs: stages[stage].subscriptions.map { Session.InputState(subscription: $0) },
            outputs: stages[stage].streams.map { _ in GrantWindow() },
            lastProgress: now.uptime, lastReceived: now.uptime)
        let slot = freeSlots.popLast() ?? sessions.count
        if slot == sessions.count { sessions.append(session) } else { sessions[slot] = session }
        connections[connection] = .attached(slot)
        handshaking -= 1
        stages[stage].sessions.append(slot)
        for stream in stages[stage].streams { streams[stream].needsGrant = true }
        effects.append(.send(connection, .welcome(welcome(slot, features: features))))
        let origin = [hello.language, hello.sdk].filter { !$0.isEmpty }.joined(separator: ", ")
        effects.append(
            .log(Notice(.info, stage: stage, instance: instance, origin.isEmpty ? "attached" : "attached (\(origin))")))
        timers.arm(.liveness(connection), at: now.uptime + pipeline.limits.heartbeat.nanoseconds)
        nextSession += 1
        if isShuttingDown || stages[stage].phase == .draining { sendDrain(slot, at: now) }
    }

    private func welcome(_ slot: Int, features: [String]) -> Welcome {
        let session = sessions[slot]
        let definition = stages[session.stage].definition
        let limits = pipeline.limits
        var welcome = Welcome()
        welcome.session = nextSession
        welcome.features = features
        welcome.maxFrame = UInt64(session.maxFrame)
        welcome.maxRecord = UInt64(limits.maxRecord)
        welcome.stampReserve = UInt64(stampReserve)
        welcome.maxStepRecords = UInt64(limits.maxStepRecords)
        welcome.maxStepBytes = UInt64(limits.maxStepBytes)
        welcome.heartbeatMS = limits.heartbeat.milliseconds
        welcome.idleMS = limits.idle.milliseconds
        welcome.leaseMS = definition.lease.milliseconds
        welcome.config = definition.config
        welcome.pipeline = pipeline.name
        welcome.instance = session.instance
        for (number, input) in definition.inputs.enumerated() {
            let upstream = pipeline.stages[input.stage]
            welcome.inputs.append(
                Welcome.Input(
                    number: UInt32(number), stage: upstream.name, port: upstream.ports[input.port],
                    maxUnsettledRecords: UInt64(limits.unsettledRecords),
                    maxUnsettledBytes: UInt64(limits.unsettledBytes), ordering: definition.ordering))
        }
        for (number, port) in definition.ports.enumerated() {
            welcome.outputs.append(Welcome.Output(number: UInt32(number), port: port))
        }
        return welcome
    }

    /// The number by which hops name this worker: the same one each time it comes back.
    private mutating func runNumber(_ run: Run) -> UInt32 {
        if let known = runNumbers[run] { return known }
        // Past the limit, new workers share the last number: lineage loses a name, the pipeline goes on.
        guard runs.count < Limits.runs else { return UInt32(runs.count) }
        let number = UInt32(runs.count + 1)
        runNumbers[run] = number
        var numbered = run
        numbered.number = number
        runs.append(numbered)
        open.changes.began(numbered)
        return number
    }
}
