import StagewireJournal
import StagewireLedger
import StagewireModel

/// The durable state of a pipeline, seen from outside of its broker.
public struct StoredState: Sendable {
    /// The state directory.
    public let path: String

    /// - Parameters:
    ///   - directory: the state directory, if one was chosen
    ///   - base: that of the pipeline's file
    public init(pipeline name: String, directory: String?, base: String) {
        path = SocketPath.absolute(directory ?? StateDirectory.standard(pipeline: name, directory: base))
    }

    public init(path: String) { self.path = path }

    // MARK: Changing it

    /// Has the next run deliver records once more. Blocks.
    /// - Throws: `ReplayRefusal`; `EnvironmentError`, also when a broker has the directory
    public func replay(
        _ pipeline: PipelineDefinition, stage: String, input: String?, from start: ReplayStart
    ) throws -> ReplayRange {
        guard Self.exists(path) else { throw Self.nothing(path) }
        var opened = try StateDirectory(path: path).open(pipeline, discardsOrphans: false)
        let subscription = try opened.ledger.number(stage: stage, input: input)
        var fetcher = EntryFetcher(opened.disk)
        let range = try opened.ledger.replay(subscription, from: start) { try fetcher.fetch($0, $1, $2) }
        var changes = ChangeLog()
        changes.rewound(subscription, to: range.from)
        let payload = StepsEntry.head(appends: 0) + changes.bytes
        opened.writer.append(kind: EntryKind.steps, payload.span.bytes)
        _ = try opened.writer.flush()
        return range
    }

    // MARK: Looking

    /// Reads the records that a replay would deliver once more, in order, beside a running broker or without one. Blocks.
    /// - Parameter body: gets a record and the ledger that knows its runs; false ends it
    /// - Throws: `ReplayRefusal`, `EnvironmentError`, `LedgerFlaw`, and what `body` throws
    public func rehearse(
        pipeline name: String, stage: String, input: String?, from start: ReplayStart,
        _ body: (StoredRecord, Ledger) throws -> Bool
    ) throws -> ReplayRange {
        guard Self.exists(path) else { throw Self.nothing(path) }
        do {
            return try rehearseOnce(pipeline: name, stage: stage, input: input, from: start, body)
        } catch let error as JournalError where error.isGone {
            throw ReplayRefusal(
                what: "the running pipeline has removed some of these records meanwhile",
                hint: "begin with later ones, or have `retention` keep more")
        }
    }

    private func rehearseOnce(
        pipeline name: String, stage: String, input: String?, from start: ReplayStart,
        _ body: (StoredRecord, Ledger) throws -> Bool
    ) throws -> ReplayRange {
        let (disk, ledger) = try load(name)
        let subscription = try ledger.number(stage: stage, input: input)
        var fetcher = EntryFetcher(disk)
        let range = try ledger.replay(subscription, from: start) { try fetcher.fetch($0, $1, $2) }
        var next = range.from
        while next < range.until {
            let plan = ledger.plan(subscription: subscription, from: next, bytes: Self.portion)
            let records = try plan.read(snapshot: []) { try fetcher.fetch($0, $1, $2) }
            guard let last = records.last else { throw LedgerFlaw(what: "record \(next) is not there", offset: 0) }
            for record in records where record.sequence < range.until {
                guard try body(record, ledger) else { return range }
            }
            next = last.sequence + 1
        }
        return range
    }

    private static let portion = 1024 * 1024

    /// The state as far as it is on the disk. A broker may be writing, and removing segments.
    private func load(_ name: String) throws -> (FileDisk, Ledger) {
        var attempts = 0
        while true {
            do {
                let disk = try FileDisk(path: path)
                return (disk, try Self.fold(disk, StateDirectory.identity(of: name)))
            } catch let error as JournalError where error.isGone && attempts < 5 {
                attempts += 1
            } catch {
                throw StateDirectory(path: path).explain(any: error)
            }
        }
    }

    private static func fold(_ disk: FileDisk, _ identity: JournalIdentity) throws -> Ledger {
        var ledger = Ledger()
        if let content = try SnapshotFile.read(of: identity, on: disk) {
            ledger = try Snapshot(content.span.bytes).ledger
        } else {
            ledger.retain(true)
        }
        var reader = try JournalReader.open(disk, from: ledger.next)
        while let header = try reader.advance() {
            guard let position = reader.position else { preconditionFailure("an entry that was read has a place") }
            let payload = reader.withPayload { span in span.withUnsafeBytes { Array($0) } }
            try ledger.apply(kind: header.kind, payload.span.bytes, at: EntryPlace(position))
        }
        return ledger
    }

    private static func exists(_ path: String) -> Bool {
        guard let disk = try? FileDisk(path: path), let names = try? disk.list() else { return false }
        return names.contains { JournalFormat.firstSequence(of: $0) != nil }
    }

    private static func nothing(_ path: String) -> EnvironmentError {
        EnvironmentError(
            "there is no journal in \(path): the pipeline has not run yet, or keeps its state elsewhere (--state)")
    }
}

extension Ledger {
    /// The subscription that a person means.
    func number(stage: String, input: String?) throws(ReplayRefusal) -> Int {
        do {
            return try layout.subscription(stage: stage, input: input)
        } catch {
            let hint: String? =
                switch error {
                case .unknownStage, .isSource: nil
                case .several(_, let inputs): "choose one by --input: \(inputs.joined(separator: ", "))"
                case .doesNotRead(_, _, let inputs): "it reads \(inputs.joined(separator: ", "))"
                }
            throw ReplayRefusal(what: error.what, hint: hint)
        }
    }
}
