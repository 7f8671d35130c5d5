import NIOCore
import StagewireLedger
import StagewireModel
import StagewireRouter

/// The second half of a turn: commit, let the router decide who gets what, do what it says.
extension Switchboard {
    func finishTurn() {
        reportDepartures()
        if let journal {
            journal.turn(&router)
        } else if let ticket = router.seal() {
            // Memory mode: durable is what is in memory, so a group is committed as soon as it is closed.
            router.commit(ticket)
        }
        router.note(BrokerLoad(isBusy: load.isBusy(at: moment().uptime), flush: journal?.flushTime ?? 0))
        router.pump(at: moment())
        let news = perform()
        post()
        router.clearEffects()
        flush()
        retire()
        armTimer()
        forgetMoment()
        for item in news { tell(item) }
        tellDurable()
        // What the pump has changed is to be written down as well, though nothing else may happen.
        if let journal, router.lastChange > router.sealedTicket, journal.closesGroups { scheduleTurn() }
    }

    /// Calls `body` as soon as everything that the router has done so far is durable; at the end of the run at the latest.
    func whenDurable(_ body: @escaping () -> Void) {
        waiting.append((router.lastChange, body))
        scheduleTurn()
    }

    private func tellDurable() {
        while let first = waiting.first, isStopped || first.ticket <= router.committedTicket {
            waiting.removeFirst()
            first.body()
        }
    }

    private func reportDepartures() {
        for connection in departing {
            let bytes = connection.takeDeparted()
            router.handle(.wrote(connection.id, bytes: bytes), at: moment())
        }
        departing.removeAll(keepingCapacity: true)
    }

    /// What observers hear of, after the router's effects are done with: they may report events in turn.
    private enum News {
        case attached(stage: Int, instance: String)
        case closing(stage: Int, instance: String, CloseReason, byWorker: Bool)
        case lost(stage: Int, instance: String, shrinking: Bool)
        case ended(stage: Int)
        case pipelineEnded
        case noticed(Notice)
        case flooded(Connection)
    }

    /// Encodes everything that goes to workers. Nothing is handed to a channel here: a failing write reports
    /// an event, and the router's memory that deliveries point into must not change before they are sent or copied.
    private func perform() -> [News] {
        var news: [News] = []
        for index in router.effects.indices {
            switch router.effects[index] {
            case .send(let id, let message): send(message, to: id, &news)
            case .deliver(let id, let delivery):
                guard let connection = connections[id] else { continue }
                connection.outbox.append(
                    delivery, segments: router.segments[delivery.segments],
                    attempts: router.attempts[delivery.attempts])
                touch(connection)
            case .close(let id, let reason): close(id, reason, &news)
            case .read(let subscription, let sequence, let bytes):
                journal?.read(subscription, from: sequence, bytes: bytes)
            case .replayDropped(let subscription, let sequence): journal?.dropReplay(subscription, from: sequence)
            case .workerLost(let stage, let instance, let shrinking):
                news.append(.lost(stage: stage, instance: instance, shrinking: shrinking))
            case .stageEnded(let stage): news.append(.ended(stage: stage))
            case .pipelineEnded: news.append(.pipelineEnded)
            case .log(let notice): news.append(.noticed(notice))
            }
        }
        return news
    }

    private func send(_ message: ControlMessage, to id: ConnectionID, _ news: inout [News]) {
        guard let connection = connections[id] else { return }
        connection.outbox.append(message)
        touch(connection)
        if case .welcome(let welcome) = message, let stage = connection.stage {
            connection.isAttached = true
            connection.instance = welcome.instance
            strangers.removeAll { $0 === connection }
            news.append(.attached(stage: stage, instance: welcome.instance))
        }
        let waiting = connection.unwrittenAnswers + connection.outbox.answered
        if waiting > Limits.unwrittenCeiling, !connection.isFlooded {
            connection.isFlooded = true
            news.append(.flooded(connection))
        }
    }

    private func close(_ id: ConnectionID, _ reason: CloseReason, _ news: inout [News]) {
        guard let connection = connections[id] else { return }
        strangers.removeAll { $0 === connection }
        connection.outbox.append(.close(reason))
        connection.startClosing()
        touch(connection)
        guard connection.isAttached, let stage = connection.stage else { return }
        news.append(
            .closing(stage: stage, instance: connection.instance, reason, byWorker: connection.saidGoodbye))
    }

    private func touch(_ connection: Connection) {
        guard !connection.isTouched else { return }
        connection.isTouched = true
        touched.append(connection)
    }

    /// Sends what can be sent from where it lies, and copies the rest. Of what has left the router is told at once: it
    /// would have more to deliver only if that was kept back for it.
    private func post() {
        for connection in touched { connection.post() }
        for connection in touched {
            let sent = connection.takeDeparted()
            guard sent > 0 else { continue }
            router.handle(.wrote(connection.id, bytes: sent), at: moment())
            if sent >= Limits.unwritten / 2 { scheduleTurn() }
        }
    }

    private func flush() {
        let connections = touched
        touched.removeAll(keepingCapacity: true)
        for connection in connections {
            connection.flush { [self] in
                departing.append($0)
                scheduleTurn()
            }
        }
    }

    /// Forgets the connections whose end this turn has told the router.
    private func retire() {
        let ended = retired
        retired.removeAll(keepingCapacity: true)
        for connection in ended {
            connections[connection.id] = nil
            connection.post()
            connection.flush { _ in }
        }
    }

    private func tell(_ item: News) {
        switch item {
        case .attached(let stage, let instance): observer?.attached(stage: stage, instance: instance)
        case .closing(let stage, let instance, let reason, let byWorker):
            observer?.closing(stage: stage, instance: instance, reason: reason, byWorker: byWorker)
        case .lost(let stage, let instance, let shrinking):
            observer?.lost(stage: stage, instance: instance, shrinking: shrinking)
        case .ended(let stage): observer?.ended(stage: stage)
        case .pipelineEnded: observer?.pipelineEnded()
        case .noticed(let notice): observer?.noticed(notice)
        case .flooded(let connection):
            guard connection.state == .open else { return }
            violated(
                connection,
                CloseReason(
                    .flood,
                    "More than \(Limits.unwrittenCeiling) bytes of answers are unread. Read what the broker sends."))
        }
    }

    // MARK: Time

    /// One scheduled task serves all of the router's deadlines. A task that comes too early ticks for nothing
    /// and is replaced; so only an earlier deadline moves it.
    private func armTimer() {
        guard let due = router.nextDeadline else { return }
        if let timer {
            if timer.due <= due { return }
            timer.task.cancel()
        }
        let task = loop.assumeIsolated().scheduleTask(deadline: .uptimeNanoseconds(due)) { [self] in
            timer = nil
            report(.tick)
        }
        timer = (due, task)
    }

    // MARK: The end

    /// Ends every connection with `reason`, tells nobody, and ignores whatever comes after. A peer has until
    /// the end of its grace to read it.
    func stop(_ reason: CloseReason) {
        isStopped = true
        tellDurable()
        timer?.task.cancel()
        for connection in connections.values {
            if connection.state == .open || connection.state == .condemned {
                connection.outbox.append(.close(reason))
                connection.startClosing()
            }
            connection.post()
            connection.flush { _ in }
        }
    }

    /// Writes down what is left of the run.
    func closeJournal() -> EventLoopFuture<Void> {
        journal?.close(&router) ?? loop.makeSucceededVoidFuture()
    }

    /// Drops whatever connections are left.
    func abort() {
        for connection in connections.values { connection.abort() }
        connections.removeAll()
    }
}

extension Switchboard: JournalLinkObserver {
    func durable(_ tickets: [CommitTicket]) {
        guard !isStopped else { return }
        for ticket in tickets { router.commit(ticket) }
        scheduleTurn()
    }

    func read(_ subscription: Int, from sequence: UInt64, _ records: [StoredRecord]) {
        guard !isStopped else { return }
        router.take(records, subscription: subscription, from: sequence)
        scheduleTurn()
    }

    func noticed(_ notice: Notice) { observer?.noticed(notice) }

    func journalLost(_ reason: String) { observer?.journalLost(reason) }
}
