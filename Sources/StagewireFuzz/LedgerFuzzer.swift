import StagewireLedger
import StagewireModel
import StagewireRouter

/// Takes an input for the entries of a pipeline's journal: payloads whose checksums were right, written by nobody, or by a
/// version to come. A finding is a trap, a sanitizer's report, or one of these untrue:
///
/// - What is refused leaves the ledger as it was, and is refused with words.
/// - What was taken in can be written as a snapshot, and read again as the same.
///
/// What the ledger comes to is recovered, too, and a router begins with it.
///
/// An input is entries one behind the other: a byte for the kind, two for the payload's length, the payload. The kinds are
/// `steps` (0), `layout` (1) and a snapshot in the place of everything before it (2), each modulo 3. An entry that would go beyond the input's
/// end takes what is left.
struct LedgerFuzzer {
    private enum Piece {
        case entry(kind: UInt8, [UInt8])
        case snapshot([UInt8])
    }

    private static let now = Moment(uptime: 1 << 50, wall: 1_700_000_000_000_000)

    func run(_ input: [UInt8]) {
        var ledger = Ledger()
        var strays: [UInt8] = []
        var payloads: [UInt64: [UInt8]] = [:]
        // Segments ascend, whatever a snapshot says: the journal sees to that.
        var segment: UInt64 = 1
        for piece in Self.pieces(input) {
            switch piece {
            case .entry(let kind, let payload):
                let sequence = max(1, ledger.next)
                guard take(kind, payload, sequence, of: segment, &ledger) else { return use(ledger, strays, payloads) }
                if kind == EntryKind.steps { payloads[sequence] = payload }
            case .snapshot(let bytes):
                guard let snapshot = try? Snapshot(bytes.span.bytes), snapshot.ledger.next < 1 << 32 else { continue }
                ledger = snapshot.ledger
                segment = max(1, ledger.next)
                strays = snapshot.records
            }
        }
        use(ledger, strays, payloads)
    }

    /// False: it was refused.
    private func take(
        _ kind: UInt8, _ payload: [UInt8], _ sequence: UInt64, of segment: UInt64, _ ledger: inout Ledger
    ) -> Bool {
        var next = ledger
        do throws(LedgerFlaw) {
            try next.apply(
                kind: kind, payload.span.bytes,
                at: EntryPlace(segment: segment, offset: 64 + Int(sequence) * 64, sequence: sequence))
        } catch {
            precondition(!error.what.isEmpty, "an entry is refused with words")
            return false
        }
        ledger = next
        return true
    }

    private func use(_ ledger: Ledger, _ strays: [UInt8], _ payloads: [UInt64: [UInt8]]) {
        let fetch: EntryFetch = { first, last, body in
            guard last >= first.sequence, last - first.sequence < 1 << 16 else { throw Gone() }
            for sequence in first.sequence...last {
                guard let payload = payloads[sequence] else { throw Gone() }
                try body(payload)
            }
        }
        if let recovered = try? ledger.recover(Self.pipeline, strays: strays, fetch: fetch) {
            var router = Router(Self.pipeline, recovered: recovered, at: Self.now)
            router.handle(.tick, at: Self.now)
            router.pump(at: Self.now)
        }
        _ = ledger.liveBytes(below: ledger.next / 2)
        _ = ledger.orphans(in: Layout(Self.pipeline))
        for cut in [0, ledger.firstNeeded, ledger.next] {
            guard let made = try? ledger.snapshot(cutting: cut, strays: strays, fetch: fetch) else { continue }
            let bytes = made.encoded()
            guard let read = try? Snapshot(bytes.span.bytes) else { preconditionFailure("a snapshot can be read back") }
            precondition(read.encoded() == bytes, "as what it was")
        }
    }

    private struct Gone: Error {}

    private static func pieces(_ input: [UInt8]) -> [Piece] {
        var pieces: [Piece] = []
        var rest = input[...]
        while rest.count >= 3 {
            let kind = rest[rest.startIndex] % 3
            let length = Int(rest[rest.startIndex + 1]) | Int(rest[rest.startIndex + 2]) << 8
            let payload = Array(rest.dropFirst(3).prefix(length))
            pieces.append(
                kind == 2 ? .snapshot(payload) : .entry(kind: kind == 0 ? EntryKind.steps : EntryKind.layout, payload))
            rest = rest.dropFirst(3 + length)
        }
        return pieces
    }

    /// The one of the first inputs, too (`LedgerFuzzCorpusTests`):
    ///
    ///     source -> left (also: port "odd") -> sink
    ///            -> sink
    private static let pipeline: PipelineDefinition = {
        var left = StageDefinition(name: "left", inputs: [InputDefinition(stage: 0)])
        left.ports = ["out", "odd"]
        let sink = StageDefinition(name: "sink", inputs: [InputDefinition(stage: 1), InputDefinition(stage: 0)])
        return PipelineDefinition(
            name: "sample", stages: [StageDefinition(name: "source", isSource: true), left, sink])
    }()
}
