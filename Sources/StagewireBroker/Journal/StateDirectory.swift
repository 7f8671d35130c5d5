import Glibc
import StagewireJournal
import StagewireLedger
import StagewireModel
import StagewireRecord

/// Where a pipeline's durable state lies, and what a start makes of it.
struct StateDirectory {
    /// Bytes of a full-grown segment, and of the first one: a pipeline that writes little takes little.
    static let segmentBytes = 64 * 1024 * 1024
    static let firstSegmentBytes = 1024 * 1024

    /// `<directory of the pipeline file>/.stagewire/<pipeline>`.
    static func standard(pipeline: String, directory: String) -> String { "\(directory)/.stagewire/\(pipeline)" }

    let path: String

    /// What is there, taken for this process alone.
    struct Opened: ~Copyable {
        let disk: FileDisk
        var writer: JournalWriter<FileDisk>
        var ledger: Ledger
        /// The records that the snapshot has copies of.
        let strays: [UInt8]
        /// For the log: what was found and is worth a line.
        var notices: [Notice]
    }

    struct Notice {
        var isWarning = false
        var text: String
    }

    /// The same name is the same pipeline; what else may change is told by `Ledger.orphans`.
    static func identity(of pipeline: PipelineDefinition) -> JournalIdentity { identity(of: pipeline.name) }

    static func identity(of name: String) -> JournalIdentity {
        let id = RecordIdentity.hash(Array("stagewire pipeline \(name)".utf8).span.bytes)
        return JournalIdentity(high: id.high, low: id.low)
    }

    /// Opens the journal or begins one. Blocks.
    /// - Parameter discardsOrphans: work for stages that the pipeline does not have any more is given up.
    func open(_ pipeline: PipelineDefinition, discardsOrphans: Bool) throws(EnvironmentError) -> Opened {
        try makeAbove()
        do {
            let disk = try FileDisk.make(path: path)
            let identity = Self.identity(of: pipeline)
            var snapshot = Snapshot(ledger: Ledger(), records: [])
            if let content = try SnapshotFile.read(of: identity, on: disk) {
                snapshot = try Snapshot(content.span.bytes)
            }
            snapshot.ledger.retain(pipeline.retention != nil)
            var opened = try Self.open(disk, identity, snapshot, byteLimit: pipeline.limits.journalBytes)
            try adapt(&opened, to: pipeline, discardsOrphans: discardsOrphans)
            return opened
        } catch { throw explain(any: error) }
    }

    /// What to tell a person of an error that came while the state was read.
    func explain(any error: any Error) -> EnvironmentError {
        switch error {
        case let error as JournalError: explain(error)
        case let error as DiskError: explain(.disk(error))
        case let error as EnvironmentError: error
        case let error as LedgerFlaw:
            EnvironmentError(
                "the state in \(path) is intact and cannot be understood: \(error). Another version has written it, or this "
                    + "one has a defect; the state is as it was.")
        case _: EnvironmentError("the state in \(path): \(error)")
        }
    }

    private static func open(_ disk: FileDisk, _ identity: JournalIdentity, _ snapshot: Snapshot, byteLimit: Int) throws
        -> Opened
    {
        let segmentBytes = min(segmentBytes, byteLimit / 4)
        var options = JournalOptions(
            identity: identity, nonce: .random(in: .min ... .max), segmentBytes: segmentBytes,
            firstSegmentBytes: firstSegmentBytes, byteLimit: byteLimit,
            reusableBytes: max(segmentBytes, byteLimit / 8))
        options.request.from = snapshot.ledger.next
        options.request.confirmed = snapshot.ledger.next
        var ledger = snapshot.ledger
        var flaw: LedgerFlaw?
        let writer = try JournalWriter.open(disk, options) { header, position, payload in
            guard flaw == nil else { return }
            do throws(LedgerFlaw) {
                guard header.sequence == ledger.next else {
                    throw LedgerFlaw(
                        what: "entry \(header.sequence) follows \(ledger.next - 1), those between are not there",
                        offset: 0)
                }
                try ledger.apply(kind: header.kind, payload, at: EntryPlace(position))
            } catch { flaw = error }
        }
        if let flaw { throw flaw }
        guard writer.next == ledger.next else {
            throw LedgerFlaw(
                what: "the journal ends with entry \(writer.next - 1), the snapshot knows of \(ledger.next - 1)",
                offset: 0)
        }
        let torn = writer.found.findings.filter { $0.kind == Finding.Kind.unfinished }
        return Opened(
            disk: disk, writer: writer, ledger: ledger, strays: snapshot.records,
            notices: torn.map {
                Notice(text: "the last write was cut short and has not happened: \($0.message)")
            })
    }

    /// Sees what a changed pipeline means for what is there, and writes the numbers of this one down. Where they are the same
    /// nothing is written: so a journal without room does not keep a broker from starting.
    private func adapt(_ opened: inout Opened, to pipeline: PipelineDefinition, discardsOrphans: Bool) throws {
        let layout = Layout(pipeline)
        let orphans = opened.ledger.orphans(in: layout)
        if !orphans.isEmpty {
            guard discardsOrphans else { throw refusal(orphans) }
            opened.notices += orphans.map { Notice(isWarning: true, text: "given up, as was asked: \($0.text)") }
        }
        opened.notices += opened.ledger.newcomers(in: layout).map {
            Notice(text: "\($0) is new: it begins with what comes from now on")
        }
        guard layout != opened.ledger.layout else { return }
        // This entry also is what gives the rest up.
        let place = opened.writer.next
        opened.writer.append(kind: EntryKind.layout, layout.encoded().span.bytes)
        let durable = try opened.writer.flush()
        try opened.ledger.apply(
            kind: EntryKind.layout, layout.encoded().span.bytes,
            at: EntryPlace(segment: durable.start.segment, offset: durable.start.offset, sequence: place))
    }

    private func refusal(_ orphans: [Orphan]) -> EnvironmentError {
        EnvironmentError(
            "the state in \(path) holds work for stages that this pipeline does not have (any more):\n"
                + orphans.map { "  \($0.text)\n" }.joined()
                + "Run the pipeline as it was until it has drained, or name the stages as they were, or give this work up with "
                + "--discard-removed.")
    }

    /// All of the path but its last part.
    private func makeAbove() throws(EnvironmentError) {
        var done = ""
        for part in path.split(separator: "/", omittingEmptySubsequences: false).dropLast() {
            done += part + "/"
            guard mkdir(done, 0o700) != 0, errno != EEXIST, errno != EISDIR else { continue }
            let code = errno
            var status = stat()
            if stat(done, &status) == 0 { continue }
            throw EnvironmentError("cannot make the state directory \(path)", errno: code)
        }
    }

    private func explain(_ error: JournalError) -> EnvironmentError {
        switch error {
        case .inUse:
            EnvironmentError(
                "another broker uses the state directory \(path). Stop it, or give this one another directory with --state."
            )
        case .damaged:
            EnvironmentError(
                "\(error.message) See `stagewire journal verify \(path)`, and `stagewire journal repair \(path)`.")
        case .disk(let problem):
            EnvironmentError("the state directory \(path) cannot be used: \(problem.message)")
        case _: EnvironmentError("the state directory \(path): \(error.message)")
        }
    }
}

extension Orphan {
    fileprivate var text: String {
        "\(name): \(records) record\(records == 1 ? "" : "s") not settled, \(letters) dead letter\(letters == 1 ? "" : "s")"
    }
}

extension EntryPlace {
    init(_ position: JournalPosition) {
        self.init(segment: position.segment, offset: position.offset, sequence: position.sequence)
    }
}

extension JournalPosition {
    init(_ place: EntryPlace) {
        self.init(segment: place.segment, offset: place.offset, sequence: place.sequence)
    }
}

/// Reads entries back by their places; neighbours cost one read.
struct EntryFetcher: ~Copyable {
    private let disk: FileDisk
    private var reader: JournalReader<FileDisk>?

    init(_ disk: FileDisk) { self.disk = disk }

    /// Lends the payloads of the entries of kind `steps` from a place to the sequence `last`.
    mutating func fetch(_ place: EntryPlace, _ last: UInt64, _ body: ([UInt8]) throws -> Void) throws {
        var reader: JournalReader<FileDisk>
        if let known = self.reader.take() {
            reader = known
        } else {
            reader = try JournalReader.open(disk, at: JournalPosition(place))
        }
        try reader.seek(to: JournalPosition(place))
        repeat {
            guard let header = try reader.advance() else { throw JournalError.notThere(JournalPosition(place)) }
            if header.kind == EntryKind.steps {
                try body(reader.withPayload { span in span.withUnsafeBytes { Array($0) } })
            }
            if header.sequence >= last { break }
        } while true
        self.reader = consume reader
    }
}
