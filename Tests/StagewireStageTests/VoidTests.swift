import StagewireModel
import Synchronization
import Testing

@testable import StagewireStage
@testable import StagewireStages

/// What was delivered behind a record that is given back (OR-3).
@Suite struct VoidTests {
    /// What a handler has seen, in order.
    private final class Seen: Sendable {
        private let texts = Mutex<[String]>([])
        func add(_ text: String) { texts.withLock { $0.append(text) } }
        var all: [String] { texts.withLock { $0 } }
    }

    /// "again" is given back at its first attempt, "bad" rejected, anything else accepted.
    private static func stage(_ seen: Seen) -> Stage {
        .sink { record in
            let text = try record.text()
            seen.add(text)
            if text == "again", record.attempt == 1 { throw Verdict.retry("later") }
            if text == "bad" { throw Verdict.reject(1001, "bad") }
        }
    }

    private static func records(_ texts: [(String, key: String)]) -> [[UInt8]] {
        texts.map { FakeSession.record($0.0, key: $0.key) }
    }

    /// By delivery, in the order in which they were settled.
    private static func kinds(_ outcomes: [SeenOutcome]) -> [UInt64: UInt64] {
        let pairs = outcomes.flatMap { outcome in outcome.deliveries.map { ($0, outcome.kind) } }
        return Dictionary(uniqueKeysWithValues: pairs)
    }

    @Test func laterDeliveriesOfTheKeyAreSettledAndNotHandled() async throws {
        let seen = Seen()
        let exit = try await FakeBroker.play(Self.stage(seen)) { broker, _ in
            let session = try broker.attach()
            session.pings = []
            try session.deliver(records: Self.records([("again", "k"), ("x", "l"), ("b", "k"), ("n", "")]))
            #expect(Self.kinds(try session.outcomes(4)) == [1: 3, 2: 1, 3: 4, 4: 1])
            // Under way: the Ping stands unanswered.
            try session.deliver(records: Self.records([("c", "k"), ("y", "l")]))
            #expect(Self.kinds(try session.outcomes(2)) == [5: 4, 6: 1])
            try session.readPings()
            for nonce in session.pings ?? [] { try session.send(.pong(nonce: nonce)) }
            try session.deliver(records: Self.records([("again", "k"), ("b", "k"), ("c", "k")]), attempts: [2, 1, 1])
            #expect(Self.kinds(try session.outcomes(3)) == [7: 1, 8: 1, 9: 1])
            try session.end()
        }
        #expect(exit == Exit(code: 0))
        #expect(seen.all == ["again", "x", "n", "y", "again", "b", "c"])
    }

    @Test func aRejectionVoidsNothing() async throws {
        let seen = Seen()
        let exit = try await FakeBroker.play(Self.stage(seen)) { broker, _ in
            let session = try broker.attach()
            session.pings = []
            try session.deliver(records: Self.records([("bad", "k"), ("b", "k")]))
            #expect(Self.kinds(try session.outcomes(2)) == [1: 2, 2: 1])
            try session.readPings()
            #expect(session.pings == [])
            try session.end()
        }
        #expect(exit == Exit(code: 0))
        #expect(seen.all == ["bad", "b"])
    }

    @Test(arguments: [(true, ["again"]), (false, ["again", "x", "n", "b"])])
    func aLaneIsWhatTheInputKeepsInOrder(_ isTotal: Bool, _ handled: [String]) async throws {
        let seen = Seen()
        let exit = try await FakeBroker.play(Self.stage(seen)) { broker, _ in
            let session = try broker.attach {
                $0.inputs[0].ordering = isTotal ? .total : .none
                var other = $0.inputs[0]
                other.number = 1
                $0.inputs.append(other)
            }
            session.pings = []
            try session.deliver(records: Self.records([("again", "k"), ("x", "l"), ("n", ""), ("b", "k")]))
            let rest: UInt64 = isTotal ? 4 : 1
            #expect(Self.kinds(try session.outcomes(4)) == [1: 3, 2: rest, 3: rest, 4: rest])
            try session.deliver(records: Self.records([("other", "k")]), input: 1)
            #expect(Self.kinds(try session.outcomes(1)) == [5: 1], "another input is another lane")
            try session.readPings()
            #expect((session.pings ?? []).isEmpty != isTotal)
            try session.end()
        }
        #expect(exit == Exit(code: 0))
        #expect(seen.all == handled + ["other"])
    }

    /// A void delivery is given back too, for it may not be void: what it follows may be a dead letter by now.
    @Test func aLaneThatIsGivenBackAgainOpensAtTheLastPong() async throws {
        let seen = Seen()
        let exit = try await FakeBroker.play(Self.stage(seen)) { broker, _ in
            let session = try broker.attach()
            session.pings = []
            let again = Self.records([("again", "k")])
            let b = Self.records([("b", "k")])
            try session.deliver(records: again)
            #expect(Self.kinds(try session.outcomes(1)) == [1: 3])
            try session.deliver(records: again)
            #expect(Self.kinds(try session.outcomes(1)) == [2: 4])
            try session.readPings()
            let pings = try #require(session.pings)
            #expect(pings.count == 2)
            for nonce in [pings[0], 4711] { try session.send(.pong(nonce: nonce)) }
            try session.deliver(records: again)
            #expect(Self.kinds(try session.outcomes(1)) == [3: 4], "the Pong of the first is not the last")
            try session.readPings()
            for nonce in session.pings?.dropFirst() ?? [] { try session.send(.pong(nonce: nonce)) }
            session.pings = nil
            try session.deliver(records: again + b)
            #expect(Self.kinds(try session.outcomes(2)) == [4: 3, 5: 4], "handled, and given back once more")
            try session.readPings()
            try session.deliver(records: again + b, attempts: [2, 1])
            #expect(Self.kinds(try session.outcomes(2)) == [6: 1, 7: 1])
            try session.end()
        }
        #expect(exit == Exit(code: 0))
        #expect(seen.all == ["again", "again", "again", "b"])
    }

    @Test func aBatchClosesTheLanesOfAllItsRecords() async throws {
        let seen = Seen()
        let stage = Stage.sink(batch: 3) { records in
            let texts = try records.map { try $0.text() }
            seen.add(texts.joined(separator: "+"))
            if texts[0] == "again", records[0].attempt == 1 { throw Verdict.retry("later") }
        }
        let exit = try await FakeBroker.play(stage) { broker, _ in
            let session = try broker.attach()
            session.isOrderedByKey = true
            try session.deliver(
                records: Self.records([
                    ("again", "k"), ("b", "l"), ("c", "m"), ("d", "l"), ("e", "x"), ("f", "m"), ("g", "y"), ("h", "k"),
                ]))
            let outcomes = try session.outcomes(8)
            #expect(Self.kinds(outcomes) == [1: 3, 2: 3, 3: 3, 4: 4, 5: 1, 6: 4, 7: 1, 8: 4])
            #expect(outcomes.first?.deliveries == [1, 2, 3])
            #expect(outcomes.filter { $0.kind == 4 }.allSatisfy { $0.deliveries.count == 1 })
            try session.readPings()
            try session.deliver(
                records: Self.records([("again", "k"), ("b", "l"), ("c", "m"), ("d", "l")]), attempts: [2, 2, 2, 1])
            #expect(Self.kinds(try session.outcomes(4)).values.allSatisfy { $0 == 1 })
            try session.end()
        }
        #expect(exit == Exit(code: 0))
        #expect(seen.all == ["again+b+c", "e+g", "again+b+c", "d"])
    }

    @Test func aCommandDoesNotRunForWhatIsVoid() async throws {
        let configuration =
            #"{"command": ["sh", "-c", "read x; test $x != again || exit 75; echo $x"], "#
            + #""batch": {"records": 1}, "exit_codes": {"75": "retry"}}"#
        let exit = try await FakeBroker.play(BuiltInStage.exec.stage) { broker, _ in
            let session = try broker.attach { $0.config = Array(configuration.utf8) }
            try session.deliver(records: Self.records([("again", "k"), ("b", "k"), ("x", "l")]))
            let outcomes = try session.outcomes(3)
            #expect(Self.kinds(outcomes) == [1: 3, 2: 4, 3: 1])
            #expect(outcomes.flatMap(\.emissions).map(\.text) == ["x"])
            try session.end()
        }
        #expect(exit == Exit(code: 0))
    }

    /// Each record of a key fails once while all behind it are held. Handling what is void would take
    /// count * (count + 1) / 2 calls more.
    @Test func manyRetriesOfOneKeyCostTwoCallsForEachRecord() async throws {
        let count = 200
        let calls = Mutex(0)
        let stage = Stage.sink { record in
            calls.withLock { $0 += 1 }
            if record.attempt == 1 { throw Verdict.retry("once") }
        }
        let exit = try await FakeBroker.play(stage) { broker, _ in
            let session = try broker.attach()
            let record = FakeSession.record("x", key: "k")
            var attempts = [UInt64](repeating: 1, count: count)
            while !attempts.isEmpty {
                try session.deliver(records: [[UInt8]](repeating: record, count: attempts.count), attempts: attempts)
                let outcomes = try session.outcomes(attempts.count)
                let accepted = outcomes.filter { $0.kind == 1 }.reduce(0) { $0 + $1.deliveries.count }
                attempts.removeFirst(accepted)
                guard !attempts.isEmpty else { break }
                #expect(outcomes.count { $0.kind == 3 } == 1)
                attempts[0] += 1
                try session.readPings()
            }
            try session.end()
        }
        #expect(exit == Exit(code: 0))
        #expect(calls.withLock { $0 } == 2 * count)
    }
}
