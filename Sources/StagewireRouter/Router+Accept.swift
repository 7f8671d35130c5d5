import StagewireModel
import StagewireRecord

/// Outcomes that accept one delivery each, with one output or none: nearly all of them. Runs of such outcomes are applied
/// at once, with what `apply` asks for each of them asked once.
extension Router {
    /// Applies the plain outcomes from `index` on, up to the first one that is not plain, and says how many those were.
    /// It has refused nothing and thrown nothing: what might be is for `apply` to judge.
    mutating func acceptPlain(
        from index: Int, of batch: borrowing StepBatch, frame: RawSpan, slot: Int, at now: Moment
    ) -> Int {
        guard index < batch.outcomes.count else { return 0 }
        let outcome = batch.outcomes[index]
        guard outcome.isPlain, let entry = sessions[slot].deliveries.owedEntry(outcome.first) else { return 0 }
        let stage = sessions[slot].stage
        let input = Int(entry.input)
        let subscription = sessions[slot].inputs[input].subscription
        guard subscriptions[subscription].parking.isEmpty, !subscriptions[subscription].hasBacklog,
            stages[stage].breaker.isClosed
        else { return 0 }
        let port = outcome.emissions.isEmpty ? 0 : Int(batch.emissions[outcome.emissions.lowerBound].port)
        guard port < stages[stage].streams.count else { return 0 }
        let stream = stages[stage].streams[port]
        var run = AcceptRun(
            input: entry.input, port: UInt32(port), isRouted: !streams[stream].subscribers.isEmpty,
            reserve: stampReserve, largest: pipeline.limits.maxStepRecords > 0 ? pipeline.limits.maxRecord : -1,
            hop: HopStamp(run: sessions[slot].run, attempt: 1, wall: now.wall))
        run.apply(
            from: index, of: batch, frame: frame, &sessions[slot], &subscriptions[subscription], &streams[stream],
            parents: streams[subscriptions[subscription].stream].log)
        guard run.count > 0 else { return 0 }
        account(run, slot: slot, stage: stage, subscription: subscription, stream: stream)
        return run.count
    }

    private mutating func account(_ run: AcceptRun, slot: Int, stage: Int, subscription: Int, stream: Int) {
        occasion += UInt64(run.count)
        sessions[slot].inputs[Int(run.input)].unsettledRecords -= run.count
        sessions[slot].inputs[Int(run.input)].unsettledBytes -= run.settledBytes
        subscriptions[subscription].inFlight -= run.count
        subscriptions[subscription].counters.accepted += UInt64(run.count)
        if stages[stage].isRead { subscriptions[subscription].counters.filtered += UInt64(run.count - run.emitted) }
        stages[stage].emitted += UInt64(run.emitted)
        if run.emitted > 0, run.isRouted { open.appended(to: stream, bytes: run.appendedBytes) }
        if !run.isRouted { counters.unrouted += UInt64(run.emitted) }
        for sequences in run.earlier { finish(sequences, subscription) }
        finish(run.sequences, subscription)
        noteAccepted(run.count, stage)
    }

    private mutating func finish(_ sequences: Range<UInt64>, _ subscription: Int) {
        open.changes.done(subscription, sequences)
        subscriptions[subscription].progress.finish(sequences)
    }
}

extension StepBatch.Outcome {
    /// One delivery, accepted, with at most one emission.
    fileprivate var isPlain: Bool {
        kind == .accepted && first == last && more.isEmpty && emissions.count <= 1
    }
}

/// Outcomes of consecutive deliveries of one input, with outputs on one port.
private struct AcceptRun {
    let input: UInt16
    let port: UInt32
    /// Somebody reads that port.
    let isRouted: Bool
    let reserve: Int
    /// What an output may be charged, bytes.
    let largest: Int
    var hop: HopStamp

    private(set) var count = 0
    private(set) var emitted = 0
    private(set) var settledBytes = 0
    /// Bytes of the records that were appended.
    private(set) var appendedBytes = 0
    /// What is done with: ranges that do not join, and the last one.
    private(set) var earlier: [Range<UInt64>] = []
    private(set) var sequences: Range<UInt64> = 0..<0

    init(input: UInt16, port: UInt32, isRouted: Bool, reserve: Int, largest: Int, hop: HopStamp) {
        (self.input, self.port, self.isRouted) = (input, port, isRouted)
        (self.reserve, self.largest, self.hop) = (reserve, largest, hop)
    }

    mutating func apply(
        from index: Int, of batch: borrowing StepBatch, frame: RawSpan, _ session: inout Session,
        _ subscription: inout Subscription, _ stream: inout Stream, parents: StreamLog
    ) {
        let first = batch.outcomes[index].first
        let most = batch.outcomes.count - index
        // Ids ascend one by one as long as it is a run.
        _ = session.deliveries.settle(from: first, atMost: most) { entry in
            let outcome = batch.outcomes[index + count]
            guard outcome.isPlain, outcome.first == first &+ UInt64(truncatingIfNeeded: count), entry.input == input
            else { return false }
            if !outcome.emissions.isEmpty {
                let emission = batch.emissions[outcome.emissions.lowerBound]
                guard emission.isWellFormed, emission.parents.isEmpty, emission.port == port,
                    Int(emission.output.length) + reserve <= largest
                else { return false }
                if isRouted { append(emission, frame, entry, &stream, parents) }
                emitted &+= 1
            }
            if entry.key != 0 { subscription.lanes.leave(entry.key) }
            settledBytes &+= Int(entry.bytes)
            done(entry.sequence)
            count &+= 1
            return true
        }
    }

    @inline(__always)
    private mutating func append(
        _ emission: StepBatch.Emission, _ frame: RawSpan, _ entry: InFlight, _ stream: inout Stream,
        _ parents: StreamLog
    ) {
        hop.attempt = entry.attempt
        appendedBytes &+= stream.log.append(
            derivedFrom: parents.ref(entry.sequence), stream.origin, ordinal: 0, hop: hop,
            output: frame.extracting(emission.output.range), keyHash: emission.keyHash)
    }

    @inline(__always)
    private mutating func done(_ sequence: UInt64) {
        if sequence == sequences.upperBound, count > 0 {
            sequences = Range(uncheckedBounds: (sequences.lowerBound, sequence &+ 1))
        } else {
            if count > 0 { earlier.append(sequences) }
            sequences = sequence..<sequence + 1
        }
    }
}
