import StagewireModel

/// How much memory a pipeline may take at most: the sum of every bound that the broker keeps. What is not
/// in here (code, the definition itself, the allocator's rounding) does not grow with records.
public struct Budget: Equatable, Sendable {
    public enum Item: String, Sendable, CaseIterable {
        /// The stream of one output port: its window and a step of every possible session.
        case stream = "stream"
        /// Offset, length and key hash of each record of a stream.
        case index = "index"
        /// Records of one subscription that retry, wait behind a held key or sit in a window.
        case parking = "parking"
        /// Dead letters of one subscription.
        case deadLetters = "dead letters"
        /// Deliveries that sessions hold. Their records stand in stream or parking; should all of them fail at
        /// once, they are parked or given up even beyond the limits of both.
        case inFlight = "in flight"
        /// A frame of each possible session, while it arrives.
        case receiving = "receiving"
        /// What each possible session has not read yet.
        case unwritten = "unwritten"
        /// What a subscription has read back from the disk, or copied, while it is behind its stream.
        case backlog = "backlog"
        /// Groups of steps on their way to the disk: at worst, while that is slow, all that streams hold.
        case journal = "journal"
        /// Records that a snapshot copies, so that old segments may go: those that it had, those that it has, and its file's content.
        case snapshot = "snapshot"
        /// A source's partitions with their checkpoints.
        case partitions = "partitions"
        /// Connections in front of their handshake.
        case handshakes = "handshakes"
        /// Who has emitted records: what hops stand for.
        case runs = "runs"
    }

    public struct Line: Equatable, Sendable {
        public var item: Item
        /// The stage (with its port or input where it has several) that it belongs to; empty: the broker.
        public var owner: String
        public var bytes: Int
        /// How the figure comes about.
        public var reason: String
    }

    // What the broker keeps beside the bytes of records. Bounds rather than sizes: containers that double
    // their capacity may be half empty.

    /// Bytes of a stream's index per record.
    static let indexEntry = 32
    /// Bytes of the marks (settled, held, parked) of one subscription per record of its stream.
    static let mark = 2
    /// Bytes of a parked record's state, its place in a queue and its block's header.
    static let parkedEntry = 320
    /// Bytes of a dead letter's state; record and error text are within `dead_letter_bytes`.
    static let letterEntry = 320
    /// Bytes of a delivery's state, and of settled ones that stay in between (twice the unsettled).
    static let deliveryEntry = 160
    /// Settled deliveries that a session's table keeps behind an old unsettled one.
    static let settledSlack = 8192
    /// Bytes of a partition's state beside name and checkpoint, and of a run beside its four names.
    static let partitionEntry = 256
    static let runEntry = 128
    /// A stream's chunks are at least seven eighths full; the first, the open one and four spare ones come on top.
    static let chunk = 256 * 1024
    static let extraChunks = 6
    /// Bytes that a subscription reads ahead at most, with a portion and its chunks' spares.
    static let backlog = 12 * 1024 * 1024
    /// Bytes of records that a snapshot copies at most (`SnapshotPlan.mostCopied`); a journal has no more than it may.
    static let snapshot = 256 * 1024 * 1024

    public private(set) var lines: [Line] = []

    /// Bytes in all.
    public var total: Int { lines.reduce(0) { $0 + $1.bytes } }

    public init(_ pipeline: PipelineDefinition) {
        let readers = Self.readers(of: pipeline)
        for (index, stage) in pipeline.stages.enumerated() {
            addStreams(of: stage, readers: readers[index], pipeline.limits)
            for input in stage.inputs { addSubscription(of: stage, to: input, in: pipeline) }
            addSessions(of: stage, pipeline.limits)
            if stage.isSource { addPartitions(of: stage) }
        }
        if pipeline.durability != .memory { addJournal(pipeline, readers) }
        addBroker()
    }

    private mutating func addJournal(_ pipeline: PipelineDefinition, _ readers: [[Int]]) {
        var bytes = 0
        for (stage, readers) in zip(pipeline.stages, readers) {
            bytes += readers.count { $0 > 0 } * pipeline.limits.streamBytes(workers: stage.maxWorkers)
        }
        add(.journal, "", bytes, "what streams hold, while it is written")
        let copied = min(Self.snapshot, pipeline.limits.journalBytes)
        add(.snapshot, "", 3 * copied, "3 x \(Quantity.text(copied)) of records that old segments are freed of")
    }

    private mutating func add(_ item: Item, _ owner: String, _ bytes: Int, _ reason: String) {
        precondition(bytes >= 0, "a budget is not negative")
        lines.append(Line(item: item, owner: owner, bytes: bytes, reason: reason))
    }

    // MARK: Streams and subscriptions

    /// Subscriptions of each port of each stage.
    private static func readers(of pipeline: PipelineDefinition) -> [[Int]] {
        var readers = pipeline.stages.map { [Int](repeating: 0, count: $0.ports.count) }
        for stage in pipeline.stages {
            for input in stage.inputs { readers[input.stage][input.port] += 1 }
        }
        return readers
    }

    private mutating func addStreams(of stage: StageDefinition, readers: [Int], _ limits: PipelineLimits) {
        // What nobody reads is dropped at once and takes no room.
        for (name, readers) in zip(stage.ports, readers) where readers > 0 {
            let owner = stage.ports.count == 1 ? stage.name : "\(stage.name).\(name)"
            let workers = stage.maxWorkers
            let bytes = limits.streamBytes(workers: workers)
            add(
                .stream, owner, bytes + (bytes + 6) / 7 + Self.extraChunks * Self.chunk,
                "\(Quantity.text(limits.windowBytes)) + \(workers) x \(Quantity.text(limits.maxStepBytes)), chunks 7/8 full"
            )
            let places = Self.powerOfTwo(atLeast: limits.streamRecords(workers: workers))
            add(
                .index, owner, places * (Self.indexEntry + readers * Self.mark),
                "\(places) places x (\(Self.indexEntry)B + \(readers) x \(Self.mark)B)")
        }
    }

    private static func powerOfTwo(atLeast count: Int) -> Int {
        precondition(count > 0, "a stream has room for a record")
        return 1 << (Int.bitWidth - (count - 1).leadingZeroBitCount)
    }

    private mutating func addSubscription(
        of stage: StageDefinition, to input: InputDefinition, in pipeline: PipelineDefinition
    ) {
        let (limits, upstream) = (pipeline.limits, pipeline.stages[input.stage])
        let from = upstream.ports.count == 1 ? upstream.name : "\(upstream.name).\(upstream.ports[input.port])"
        let owner = "\(stage.name) < \(from)"
        let parking = limits.parkingBytes(workers: upstream.maxWorkers)
        let parked = limits.parkingRecords(workers: upstream.maxWorkers)
        add(
            .parking, owner, parking + parked * Self.parkedEntry,
            "a quarter of the stream: \(Quantity.text(parking)) + \(parked) x \(Self.parkedEntry)B")
        add(
            .deadLetters, owner, limits.deadLetterBytes + limits.deadLetterRecords * Self.letterEntry,
            "\(Quantity.text(limits.deadLetterBytes)) + \(limits.deadLetterRecords) x \(Self.letterEntry)B")
        if pipeline.durability != .memory, limits.backlogBytes > 0 {
            let held = stage.maxWorkers * limits.unsettledBytes
            add(
                .backlog, owner, Self.backlog + held,
                "\(Quantity.text(Self.backlog)) read ahead + \(Quantity.text(held)) in flight")
        }
        let table = (limits.unsettledRecords + Self.settledSlack) * Self.deliveryEntry
        add(
            .inFlight, owner, stage.maxWorkers * (limits.unsettledBytes + table),
            "\(stage.maxWorkers) workers x (\(Quantity.text(limits.unsettledBytes)) + \(Quantity.text(table)))")
    }

    // MARK: Sessions

    private mutating func addSessions(of stage: StageDefinition, _ limits: PipelineLimits) {
        let workers = stage.maxWorkers
        let frame = Self.frame(limits)
        add(.receiving, stage.name, workers * frame, "\(workers) workers x \(Quantity.text(frame))")
        let unwritten = Self.unwritten(limits)
        add(.unwritten, stage.name, workers * unwritten, "\(workers) workers x \(Quantity.text(unwritten))")
    }

    /// The largest frame that the broker reads: the default, or what a record of the largest size needs.
    static func frame(_ limits: PipelineLimits) -> Int {
        max(Limits.defaultFrame, limits.maxRecord + Limits.frameOverhead)
    }

    /// One `Deliver` may follow when all but a byte of what may stand unwritten does; and answers may
    /// pile up to the ceiling at which the connection closes.
    static func unwritten(_ limits: PipelineLimits) -> Int {
        let deliver = max(Limits.deliverTarget, limits.maxRecord + Limits.frameOverhead)
        return max(Limits.unwritten + deliver, Limits.unwrittenCeiling)
    }

    private mutating func addPartitions(of stage: StageDefinition) {
        let each = Limits.partition + Limits.checkpoint + Self.partitionEntry
        add(
            .partitions, stage.name, Limits.partitions * each,
            "\(Limits.partitions) x (\(Quantity.text(Limits.checkpoint)) + \(Limits.partition + Self.partitionEntry)B)")
    }

    private mutating func addBroker() {
        add(
            .handshakes, "", Limits.unauthenticated * Limits.handshakeFrame,
            "\(Limits.unauthenticated) connections x \(Quantity.text(Limits.handshakeFrame))")
        // Stage, version, instance and language of each.
        let run = 4 * Limits.name + Self.runEntry
        add(.runs, "", Limits.runs * run, "\(Limits.runs) x \(run)B")
    }
}

extension Budget {
    /// The budget for a person: what, whose, how much, why; the sum last.
    public var table: String {
        var rows = lines.map {
            [$0.item.rawValue, $0.owner.isEmpty ? "(broker)" : $0.owner, Self.mebibytes($0.bytes), $0.reason]
        }
        rows.insert(["what", "of", "at most", "because"], at: 0)
        rows.append(["sum", "", Self.mebibytes(total), ""])
        let widths = (0..<3).map { column in rows.map { $0[column].count }.max() ?? 0 }
        let text = rows.map { row in
            let cells = (0..<3).map { column in
                let space = String(repeating: " ", count: widths[column] - row[column].count)
                // Figures to the right, so that their points stand below each other.
                return column == 2 ? space + row[column] : row[column] + space
            }
            var line = (cells + [row[3]]).joined(separator: "  ")
            while line.last == " " { line.removeLast() }
            return line
        }
        return text.joined(separator: "\n")
    }

    /// "12.5 MiB", rounded up: a bound is not to look smaller than it is.
    private static func mebibytes(_ bytes: Int) -> String {
        let tenths = (bytes * 10 + (1 << 20) - 1) >> 20
        return "\(tenths / 10).\(tenths % 10) MiB"
    }
}
