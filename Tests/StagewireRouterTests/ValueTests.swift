import StagewireModel
import StagewireSimulation
import Testing

@testable import StagewireRouter

/// The router's small values against naive oracles: small spaces exhaustively, larger ones by seed.
@Suite struct ProgressTests {
    /// Every sequence of up to seven operations, against a set of needed sequences.
    @Test func agreesWithASetOfNeeded() {
        var cases = 0
        explore(depth: 7, progress: Progress(at: 0), needed: [], cursor: 0, &cases)
        #expect(cases > 2_000)
    }

    private func explore(depth: Int, progress: Progress, needed: Set<UInt64>, cursor: UInt64, _ cases: inout Int) {
        cases += 1
        let low = needed.min() ?? cursor
        #expect(progress.low == low && progress.cursor == cursor)
        #expect(progress.stranded == Int(cursor - low) - needed.count)
        for sequence in low..<cursor { #expect(progress.isNeeded(sequence) == needed.contains(sequence)) }
        guard depth > 0 else { return }
        var advanced = progress
        advanced.advance()
        explore(depth: depth - 1, progress: advanced, needed: needed.union([cursor]), cursor: cursor + 1, &cases)
        var skipped = progress
        skipped.skip()
        explore(depth: depth - 1, progress: skipped, needed: needed, cursor: cursor + 1, &cases)
        for sequence in needed.sorted() {
            var finished = progress
            finished.finish(sequence)
            explore(
                depth: depth - 1, progress: finished, needed: needed.subtracting([sequence]), cursor: cursor, &cases)
        }
    }
}

@Suite struct DeliveryTableTests {
    private func entry(_ sequence: UInt64, key: UInt64 = 0, input: UInt16 = 0) -> InFlight {
        InFlight(sequence: sequence, key: key, delivered: 0, attempt: 1, bytes: 1, input: input, state: .unsettled)
    }

    @Test(arguments: UInt64(1)...20) func agreesWithADictionary(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var table = DeliveryTable()
        var oracle: [UInt64: InFlight.State] = [:]
        for step in 0..<3000 {
            if Int.random(in: 0..<5, using: &random) < 3 {
                let id = table.append(entry(UInt64(step), key: UInt64.random(in: 0..<4, using: &random)))
                oracle[id] = .unsettled
            } else if let id = oracle.keys.min().flatMap({ least in
                Bool.random(using: &random) ? least : oracle.keys.sorted().randomElement(using: &random)
            }) {
                table.settle(id)
                oracle[id] = nil
            }
            #expect(table.owed == oracle.count, "seed \(seed)")
            #expect(table.oldest?.id == oracle.keys.min(), "seed \(seed)")
        }
        table.check()
        var listed: [UInt64] = []
        table.forEachOwed { id, _ in listed.append(id) }
        #expect(listed == oracle.keys.sorted(), "seed \(seed)")
    }

    /// A window that holds one delivery while 100,000 others pass does not make the table grow.
    @Test func oneOldDeliveryCostsOneEntry() {
        var table = DeliveryTable()
        let held = table.append(entry(0, key: 7))
        for sequence in 1...UInt64(100_000) { table.settle(table.append(entry(sequence))) }
        table.check()
        #expect(table.owed == 1 && table.owedEntry(held)?.sequence == 0)
        #expect(table.next - table.first <= UInt64(DeliveryTable.slack))
        #expect(table.settledThrough == held - 1)
        var voided = 0
        table.void(after: 0, key: 7, input: 0) { _ in voided += 1 }
        #expect(voided == 1 && table.owedEntry(held)?.state == .voided)
        table.settle(held)
        #expect(table.isEmpty && table.owedEntry(held) == nil)
    }

    @Test func voidsOnlyLaterOnesOfTheKeyAndInput() {
        var table = DeliveryTable()
        for sequence in UInt64(1)...6 {
            _ = table.append(entry(sequence, key: sequence % 2, input: sequence == 5 ? 1 : 0))
        }
        var voided: [UInt64] = []
        table.void(after: 1, key: 1, input: 0) { voided.append($0.sequence) }
        #expect(voided == [3])
    }

    @Test func strangersAreNotOwed() {
        var table = DeliveryTable()
        #expect(table.owedEntry(0) == nil && table.owedEntry(1) == nil && table.owedEntry(.max) == nil)
        let id = table.append(entry(1))
        table.settle(id)
        #expect(table.owedEntry(id) == nil)
    }
}

@Suite struct CreditTests {
    /// Sent never exceeds granted, whatever limits come in whatever order.
    @Test(arguments: UInt64(1)...20) func sentStaysWithinGranted(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var window = SendWindow()
        var mostRecords: UInt64 = 0
        var mostBytes: UInt64 = 0
        for _ in 0..<2000 {
            if Int.random(in: 0..<4, using: &random) == 0 {
                let limit = CreditLimit(
                    records: UInt64.random(in: 0...400, using: &random),
                    bytes: UInt64.random(in: 0...4000, using: &random))
                let grows = limit.records > mostRecords || limit.bytes > mostBytes
                mostRecords = max(mostRecords, limit.records)
                mostBytes = max(mostBytes, limit.bytes)
                #expect(window.raise(to: limit) == grows)
            }
            let size = Int.random(in: 0...60, using: &random)
            let expected = window.records + 1 <= mostRecords && window.bytes + UInt64(size) <= mostBytes
            #expect(window.admits(bytes: size) == expected, "seed \(seed)")
            if expected { window.spend(bytes: size) }
            #expect(window.records <= mostRecords && window.bytes <= mostBytes, "seed \(seed)")
        }
    }

    @Test func largestLimitsDoNotOverflow() {
        var window = SendWindow()
        _ = window.raise(to: CreditLimit(records: .max, bytes: .max))
        #expect(window.admits(bytes: .max))
    }

    /// Every history of up to four grants, uses and releases of two sessions, with the whole of the window given out and with half of
    /// it: the budget holds, and once the stream is empty a session gets its step, whatever the other one has.
    private func exploreGrants(_ policy: GrantPolicy, _ sessions: [Int], occupied: Int, depth: Int) {
        #expect(occupied + sessions[0] + sessions[1] <= policy.capacity)
        for turn in 0..<4 {
            let (session, filled) = (turn % 2, turn < 2 ? policy.window : policy.window / 2)
            let more = policy.increase(
                outstanding: sessions[session], occupied: occupied,
                reserved: policy.reserve(outstanding: sessions[1 - session]),
                attached: 2, filled: filled)
            #expect(more >= 0)
            if occupied == 0 { #expect(sessions[session] + more >= policy.step) }
            guard depth > 0 else { continue }
            var granted = sessions
            granted[session] += more
            if more > 0 { exploreGrants(policy, granted, occupied: occupied, depth: depth - 1) }
            for used in Set([1, sessions[session]]) where used > 0 && used <= sessions[session] {
                var after = sessions
                after[session] -= used
                exploreGrants(policy, after, occupied: occupied + used, depth: depth - 1)
            }
        }
        if occupied > 0 && depth > 0 { exploreGrants(policy, sessions, occupied: 0, depth: depth - 1) }
    }

    /// One session filled window and step; the other comes, and gets its own step all the same.
    @Test func aNewSessionHasItsStep() {
        let policy = GrantPolicy(window: 8, step: 4, sessions: 2)
        #expect(policy.first(occupied: 12, others: 0, absent: 0) == 4)
        #expect(policy.first(occupied: 8, others: 4, absent: 0) == 4)
        // Nobody takes what a third session would need.
        #expect(GrantPolicy(window: 8, step: 4, sessions: 3).first(occupied: 12, others: 0, absent: 1) == 4)
        // Sessions that have left filled their steps: what is left of the budget.
        #expect(policy.first(occupied: 14, others: 0, absent: 0) == 2)
        #expect(policy.first(occupied: 16, others: 0, absent: 1) == 0)
    }

    @Test func budgetHoldsAndNobodyStarves() {
        for window in [0, 1, 3, 5] {
            for step in 1...2 {
                let policy = GrantPolicy(window: window, step: step, sessions: 2)
                exploreGrants(policy, [0, 0], occupied: 0, depth: 4)
            }
        }
    }
}

@Suite struct RetryPolicyTests {
    @Test func doublesUpToItsLimitWithinItsJitter() {
        var policy = RetryPolicy()
        policy.backoffFirst = .milliseconds(200)
        policy.backoffLimit = .seconds(30)
        for attempt in UInt32(2)...200 {
            let exponent = Double(min(attempt - 2, 40))
            var base = 200e6
            for _ in 0..<Int(exponent) { base = min(base * 2, 30e9) }
            for salt in UInt64(0)..<50 {
                let delay = Double(policy.delay(beforeAttempt: attempt, salt: salt))
                #expect(delay >= base * 0.79 && delay <= base * 1.21)
                #expect(policy.delay(beforeAttempt: attempt, salt: salt) == UInt64(delay))
            }
        }
        policy.jitterPercent = 0
        #expect(policy.delay(beforeAttempt: 2, salt: 9) == 200_000_000)
        policy.backoffFirst = .zero
        policy.jitterPercent = 100
        #expect(policy.delay(beforeAttempt: 5, salt: 9) == 0)
    }
}

@Suite struct KeyLaneTests {
    @Test func aLaneIsWithOneSessionUntilItIsEmpty() {
        var lanes = KeyLanes()
        #expect(lanes.route(of: 5) == .free)
        lanes.enter(5, slot: 3)
        lanes.enter(5 + 1024, slot: 3)
        #expect(lanes.route(of: 5) == .owned(3) && lanes.route(of: 6) == .free)
        #expect(lanes.isOpen(5, to: 3) && !lanes.isOpen(5, to: 4))
        lanes.leave(5)
        #expect(lanes.route(of: 5) == .owned(3))
        lanes.claim(5)
        #expect(lanes.route(of: 5) == .claimed)
        lanes.leave(5)
        #expect(lanes.route(of: 5) == .claimed && lanes.isOpen(5, to: 4))
        lanes.enter(5, slot: 4)
        #expect(lanes.route(of: 5) == .owned(4))
    }
}

@Suite struct TimerTests {
    @Test func equalDeadlinesFireInOrderOfArming() {
        var timers = Timers()
        timers.arm(.handshake(ConnectionID(2)), at: 10)
        timers.arm(.handshake(ConnectionID(1)), at: 10)
        timers.arm(.drainDeadline, at: 5)
        #expect(timers.next == 5)
        #expect(timers.popDue(at: 4) == nil)
        #expect(timers.popDue(at: 10) == .drainDeadline)
        #expect(timers.popDue(at: 10) == .handshake(ConnectionID(2)))
        #expect(timers.popDue(at: 10) == .handshake(ConnectionID(1)))
        #expect(timers.popDue(at: .max) == nil)
    }
}
