import StagewireLedger
import StagewireModel
import StagewireRecord

/// What one group of steps makes visible once it is durable, and what it leaves on the disk.
struct CommitGroup {
    struct Confirmation {
        var connection: ConnectionID?
        var message: ControlMessage
    }

    /// What a confirmation is about: the next one of the same kind says more.
    private enum Subject: Hashable {
        case session(ConnectionID)
        case partition(ConnectionID, String)
    }

    /// Streams appended to, each once.
    private(set) var streams: [Int] = []
    /// Bytes of what was appended.
    private(set) var bytes = 0
    var ends: [(stream: Int, from: UInt64, end: UInt64)] = []
    private(set) var confirmations: [Confirmation] = []
    /// Where the latest confirmation of a subject stands, once there are several.
    private var places: [Subject: Int] = [:]
    /// Source partitions that moved, each once, by stage and index there.
    private(set) var partitions: [(stage: Int, index: Int)] = []
    var changes = Recording()
    private(set) var isEmpty = true

    mutating func appended(to stream: Int, bytes size: Int) {
        isEmpty = false
        bytes += size
        if streams.last != stream && !streams.contains(stream) { streams.append(stream) }
    }

    mutating func changed() { isEmpty = false }

    mutating func moved(stage: Int, partition: Int) {
        isEmpty = false
        guard !partitions.contains(where: { $0 == (stage, partition) }) else { return }
        partitions.append((stage, partition))
    }

    /// Confirms to a worker. A further confirmation of the same partition or session replaces the one before, for
    /// both are cumulative: so the group's size does not follow how long it stays open.
    mutating func confirm(_ connection: ConnectionID, _ message: ControlMessage) {
        isEmpty = false
        let subject = subject(connection, message)
        if let last = confirmations.last, last.connection == connection, let both = merge(last.message, message) {
            confirmations[confirmations.count - 1].message = both
            return
        }
        if let place = places[subject], let both = merge(confirmations[place].message, message) {
            confirmations[place].message = both
            return
        }
        places[subject] = confirmations.count
        confirmations.append(Confirmation(connection: connection, message: message))
    }

    private func subject(_ connection: ConnectionID, _ message: ControlMessage) -> Subject {
        switch message {
        case .committed(let partition, _, _), .claimed(let partition, _, _, _): .partition(connection, partition)
        case _: .session(connection)
        }
    }

    private func merge(_ earlier: ControlMessage, _ later: ControlMessage) -> ControlMessage? {
        if case .committed(let partition, _, let refused) = earlier,
            case .committed(partition, let through, let more) = later
        {
            return .committed(partition: partition, through: through, refused: refused + more)
        }
        if case .settled(_, let refused) = earlier, case .settled(let through, let more) = later {
            return .settled(through: through, refused: refused + more)
        }
        return nil
    }
}

/// The changes of a group, written down if there is a journal. Without one nothing is.
struct Recording {
    var isRecording = false
    private(set) var log = ChangeLog()

    var isEmpty: Bool { log.isEmpty }

    @inline(__always)
    mutating func done(_ subscription: Int, _ sequence: UInt64) {
        if isRecording { log.done(subscription, sequence) }
    }

    mutating func tried(_ subscription: Int, _ sequence: UInt64, _ trial: @autoclosure () -> Trial) {
        if isRecording { log.tried(subscription, sequence, trial()) }
    }

    mutating func buried(_ subscription: Int, _ sequence: UInt64, _ letter: DeadLetter) {
        guard isRecording else { return }
        log.buried(
            subscription, sequence,
            Verdict(
                number: letter.number, attempts: letter.attempts, reason: letter.reason.rawValue, time: letter.time,
                error: letter.error))
    }

    mutating func discarded(_ subscription: Int, number: UInt64) {
        if isRecording { log.discarded(subscription, number: number) }
    }

    mutating func asked(_ subscription: Int, number: UInt64) {
        if isRecording { log.asked(subscription, number: number) }
    }

    mutating func revived(_ subscription: Int, number: UInt64, as arrival: UInt64) {
        if isRecording { log.revived(subscription, number: number, as: arrival) }
    }

    mutating func moved(stage: Int, partition: String, to position: SourcePosition) {
        log.moved(stage: stage, partition: partition, to: position)
    }

    mutating func began(_ run: Run) {
        if isRecording { log.began(run) }
    }

    mutating func edited(_ subscription: Int, number: UInt64, record: RecordRef) {
        if isRecording { log.edited(subscription, number: number, record: record.copyWireBytes()) }
    }

    mutating func noted(_ time: UInt64) {
        if isRecording { log.noted(time) }
    }

    mutating func rewound(_ subscription: Int, to sequence: UInt64) {
        if isRecording { log.rewound(subscription, to: sequence) }
    }

    mutating func close() -> [UInt8] {
        log.close()
        return log.bytes
    }
}

extension Router {
    /// Lends what a sealed group leaves on the disk, piece by piece: the payload of an entry of kind `steps`.
    /// - Precondition: the group is not committed yet
    public mutating func forEachPart(of ticket: CommitTicket, _ body: (RawSpan) -> Void) {
        guard let index = sealed.firstIndex(where: { $0.ticket == ticket }) else {
            preconditionFailure("only a sealed group that is not committed has parts")
        }
        let ends = sealed[index].group.ends
        body(StepsEntry.head(appends: ends.count).span.bytes)
        for (stream, from, end) in ends {
            var size = 0
            streams[stream].log.forEachPiece(from..<end) { size += $0.count }
            body(StepsEntry.head(stream: stream, first: from, count: Int(end - from), bytes: size).span.bytes)
            streams[stream].log.forEachPiece(from..<end) { body($0.bytes) }
        }
        body(sealed[index].group.changes.close().span.bytes)
    }
}
