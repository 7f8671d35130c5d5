import StagewireModel

/// What a failed delivery leaves behind for the next one.
public struct Trial: Equatable, Sendable {
    /// Of the next delivery.
    public var attempt: UInt32
    /// Crashes that are charged to the record.
    public var crashes: UInt32
    /// Milliseconds of running time since the first delivery.
    public var age: UInt64
    /// Milliseconds that it still had to wait.
    public var delay: UInt64

    public init(attempt: UInt32, crashes: UInt32, age: UInt64, delay: UInt64) {
        self.attempt = attempt
        self.crashes = crashes
        self.age = age
        self.delay = delay
    }
}

/// Why a record was given up on.
public struct Verdict: Equatable, Sendable {
    /// Consecutive per stage, from 1.
    public var number: UInt64
    public var attempts: UInt32
    public var reason: UInt32
    /// Microseconds since 1970.
    public var time: UInt64
    public var error: DeliveryError

    public init(number: UInt64, attempts: UInt32, reason: UInt32, time: UInt64, error: DeliveryError) {
        self.number = number
        self.attempts = attempts
        self.reason = reason
        self.time = time
        self.error = error
    }
}

/// Where a source is in one of its partitions.
public struct SourcePosition: Equatable, Sendable {
    public var epoch: UInt64
    public var lastEmitID: UInt64
    public var checkpoint: [UInt8]

    public init(epoch: UInt64 = 0, lastEmitID: UInt64 = 0, checkpoint: [UInt8] = []) {
        self.epoch = epoch
        self.lastEmitID = lastEmitID
        self.checkpoint = checkpoint
    }
}

/// Collects the changes of one group of steps in the order in which they happened, encoded. Subscriptions and stages are
/// numbered as in the layout. It keeps its memory from group to group.
public struct ChangeLog: Sendable {
    public private(set) var bytes: [UInt8] = []
    /// The records that were done with last: mostly the next one follows.
    private var run: (subscription: Int, sequences: Range<UInt64>)?

    public init() {}

    public var isEmpty: Bool { bytes.isEmpty && run == nil }

    public var byteCount: Int { bytes.count }

    /// A subscription does not need a record any more.
    @inline(__always)
    public mutating func done(_ subscription: Int, _ sequence: UInt64) {
        if let current = run, current.subscription == subscription, current.sequences.upperBound == sequence {
            run = (subscription, current.sequences.lowerBound..<sequence + 1)
        } else {
            close()
            run = (subscription, sequence..<sequence + 1)
        }
    }

    /// Writes down what `done` has gathered.
    public mutating func close() {
        guard let run else { return }
        bytes.put(ChangeTag.done)
        bytes.put(run.subscription)
        bytes.put(run.sequences.lowerBound)
        bytes.put(run.sequences.count)
        self.run = nil
    }

    /// A record was tried in vain.
    public mutating func tried(_ subscription: Int, _ sequence: UInt64, _ trial: Trial) {
        begin(ChangeTag.trial, subscription)
        bytes.put(sequence)
        bytes.put(trial)
    }

    /// A record became a dead letter.
    public mutating func buried(_ subscription: Int, _ sequence: UInt64, _ verdict: Verdict) {
        begin(ChangeTag.buried, subscription)
        bytes.put(sequence)
        bytes.put(verdict)
    }

    /// A dead letter was dropped.
    public mutating func discarded(_ subscription: Int, number: UInt64) {
        begin(ChangeTag.discarded, subscription)
        bytes.put(number)
    }

    /// A person wants a dead letter tried again.
    public mutating func asked(_ subscription: Int, number: UInt64) {
        begin(ChangeTag.asked, subscription)
        bytes.put(number)
    }

    /// A dead letter came back, as an arrival of its own sequence.
    public mutating func revived(_ subscription: Int, number: UInt64, as arrival: UInt64) {
        begin(ChangeTag.revived, subscription)
        bytes.put(number)
        bytes.put(arrival)
    }

    public mutating func moved(stage: Int, partition: String, to position: SourcePosition) {
        begin(ChangeTag.partition, stage)
        bytes.put(partition)
        bytes.put(position)
    }

    public mutating func began(_ run: Run) {
        close()
        bytes.put(ChangeTag.run)
        bytes.put(run)
    }

    /// A dead letter is about another record from now on: these wire-ready bytes.
    public mutating func edited(_ subscription: Int, number: UInt64, record: [UInt8]) {
        begin(ChangeTag.edited, subscription)
        bytes.put(number)
        bytes.put(record)
    }

    /// What comes from here on came at this time or later, microseconds since 1970.
    public mutating func noted(_ time: UInt64) {
        close()
        bytes.put(ChangeTag.time)
        bytes.put(time)
    }

    /// A subscription goes through its stream again from this record on.
    public mutating func rewound(_ subscription: Int, to sequence: UInt64) {
        begin(ChangeTag.rewound, subscription)
        bytes.put(sequence)
    }

    public mutating func removeAll() {
        bytes.removeAll(keepingCapacity: true)
        run = nil
    }

    private mutating func begin(_ tag: UInt64, _ index: Int) {
        close()
        bytes.put(tag)
        bytes.put(index)
    }
}

extension [UInt8] {
    mutating func put(_ verdict: Verdict) {
        put(verdict.number)
        put(UInt64(verdict.attempts))
        put(UInt64(verdict.reason))
        put(verdict.time)
        put(UInt64(verdict.error.code))
        put(verdict.error.message)
        put(verdict.error.indefinite ? 1 : 0)
    }

    mutating func put(_ position: SourcePosition) {
        put(position.epoch)
        put(position.lastEmitID)
        put(position.checkpoint)
    }

    mutating func put(_ run: Run) {
        put(UInt64(run.number))
        for text in [run.stage, run.version, run.instance, run.language] { put(text) }
    }

    mutating func put(_ trial: Trial) {
        put(UInt64(trial.attempt))
        put(UInt64(trial.crashes))
        put(trial.age)
        put(trial.delay)
    }
}

extension PayloadCursor {
    mutating func verdict(_ bytes: RawSpan) throws(LedgerFlaw) -> Verdict {
        Verdict(
            number: try number(bytes, upTo: LedgerLimit.count), attempts: try number32(bytes),
            reason: try number32(bytes), time: try number(bytes),
            error: DeliveryError(
                code: try number32(bytes), message: try text(bytes), indefinite: try flag(bytes)))
    }

    mutating func position(_ bytes: RawSpan) throws(LedgerFlaw) -> SourcePosition {
        SourcePosition(
            epoch: try number(bytes, upTo: LedgerLimit.count), lastEmitID: try number(bytes, upTo: LedgerLimit.count),
            checkpoint: try data(bytes))
    }

    mutating func run(_ bytes: RawSpan) throws(LedgerFlaw) -> Run {
        Run(
            number: try number32(bytes), stage: try text(bytes), version: try text(bytes), instance: try text(bytes),
            language: try text(bytes))
    }

    mutating func trial(_ bytes: RawSpan) throws(LedgerFlaw) -> Trial {
        let attempts = UInt64(LedgerLimit.attempts)
        return Trial(
            attempt: UInt32(try number(bytes, upTo: attempts)), crashes: UInt32(try number(bytes, upTo: attempts)),
            age: try number(bytes, upTo: LedgerLimit.time), delay: try number(bytes, upTo: LedgerLimit.time))
    }
}
