import StagewireLedger
import StagewireModel
import StagewireRouter

/// A person has records come again that were settled. From the moment at which that begins, the oracle forgets that they were:
/// they have to be given once more, under the same ids, in order.
extension Chaos {
    struct BeforeReplay {
        var stage: Int
        /// Of the group that has the replay.
        var ticket: UInt64
        var accepted: [String: Dated<Int>]
        var attempts: [String: [Dated<UInt32>]]
        var dropped: [String: UInt64]
        var twofold: Set<String>
    }

    /// The transform is left out: what it emits would be there twice, as it should be, and no oracle could tell.
    func askReplay() {
        let stage = [Self.sink, Self.audit].randomElement(using: &random)!
        guard let journal = rig.journal, !rig.isDown, rig.router.takesReplay(stage: stage), replays[stage] == nil else {
            return
        }
        let input = Int.random(in: 0..<rig.pipeline.stages[stage].inputs.count, using: &random)
        let subscription = subscription(stage, input)
        let start: ReplayStart =
            switch Int.random(in: 0..<4, using: &random) {
            case 0: .beginning
            case 1: .time(rig.now.wall - UInt64.random(in: 0...30_000_000, using: &random))
            default:
                .sequence(
                    UInt64.random(in: 0..<UInt64(journal.payloads[stream(of: subscription)].count + 1), using: &random))
            }
        guard let from = journal.prepareReplay(subscription, from: start) else { return }
        replays[stage] = (input, from)
        _ = rig.router.replay(subscription: subscription, from: from)
        rig.turn()
    }

    /// Numbered stage by stage.
    private func subscription(_ stage: Int, _ input: Int) -> Int {
        rig.pipeline.stages[..<stage].reduce(input) { $0 + $1.inputs.count }
    }

    private func stream(of subscription: Int) -> Int {
        let name = Layout(rig.pipeline).subscriptions[subscription].stream
        return Layout(rig.pipeline).streams.firstIndex(of: name)!
    }

    /// The router says when it goes back, before it gives anything out.
    func noticed(_ notice: Notice) {
        if notice.text.hasPrefix("does not go to record"), let stage = notice.stage { replays[stage] = nil }
        guard notice.text.hasPrefix("goes back"), let stage = notice.stage,
            let replay = replays.removeValue(forKey: stage),
            let journal = rig.journal
        else { return }
        beforeReplays.append(
            BeforeReplay(
                stage: stage, ticket: openTicket, accepted: accepted[stage], attempts: attempts[stage],
                dropped: dropped[stage], twofold: twofold[stage]))
        let stream = stream(of: subscription(stage, replay.input))
        let letters = rig.router.deadLetters(stage: stage).map {
            String(decoding: $0.record.ref.payload, as: UTF8.self)
        }
        let known = revived[stage].union(letters)
        for payload in journal.payloads[stream].dropFirst(Int(replay.from)) {
            accepted[stage][payload] = nil
            attempts[stage][payload] = nil
            // What was dropped as a letter was settled, and comes again like everything else.
            dropped[stage][payload] = nil
            if known.contains(payload) { twofold[stage].insert(payload) }
        }
    }

    /// The broker has ended: replays whose group is not on the disk have not happened, the latest first.
    func undoReplays(after last: UInt64) {
        replays = [:]
        while let before = beforeReplays.last, before.ticket > last {
            beforeReplays.removeLast()
            accepted[before.stage] = before.accepted
            attempts[before.stage] = before.attempts
            dropped[before.stage] = before.dropped
            twofold[before.stage] = before.twofold
        }
    }
}
