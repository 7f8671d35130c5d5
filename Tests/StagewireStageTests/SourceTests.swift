import Foundation
import StagewireModel
import Testing

@testable import StagewireStage

@Suite struct SourceTests {
    /// Emits the numbers from its checkpoint up to 5.
    private static let numbers = Stage.source { source in
        let partition = try await source.claim("numbers")
        var n = Int(partition.checkpointText) ?? 0
        while n < 5 {
            n += 1
            try await partition.emit([Output(text: "\(n)")], checkpoint: "\(n)")
        }
    }

    /// What a broker without inputs says.
    @Sendable private static func asSource(_ welcome: inout Welcome) { welcome.inputs = [] }

    private static func expectClaim(_ session: FakeSession, last: UInt64 = 0, checkpoint: String = "") throws {
        #expect(try session.nextControl() == .claim(partition: "numbers"))
        try session.send(
            .claimed(partition: "numbers", epoch: 1, lastEmitID: last, checkpoint: Array(checkpoint.utf8)))
    }

    private static func expectEmit(_ session: FakeSession, _ id: UInt64, _ text: String) throws {
        guard case .emit("numbers", id, let emissions, let checkpoint)? = try session.next() else {
            throw FakeBroker.Failure(description: "expected emit \(id)")
        }
        #expect(emissions.map(\.text) == [text])
        #expect(checkpoint == text)
    }

    private static func commit(_ session: FakeSession, _ through: UInt64) throws {
        try session.send(.committed(partition: "numbers", through: through, refused: []))
    }

    @Test func aSourceGoesOnAtItsCheckpointAndFinishes() async throws {
        let exit = try await FakeBroker.play(Self.numbers) { broker, _ in
            let session = try broker.attach(Self.asSource)
            try Self.expectClaim(session, last: 3, checkpoint: "3")
            try Self.expectEmit(session, 4, "4")
            try Self.expectEmit(session, 5, "5")
            try Self.commit(session, 4)
            try Self.commit(session, 5)
            #expect(try session.nextControl() == .finished(partition: "numbers"), "only when all is confirmed")
            try session.end()
        }
        #expect(exit == Exit(code: 0))
    }

    @Test func aBrokerThatRestartsGetsWhatItHadNotConfirmed() async throws {
        let exit = try await FakeBroker.play(Self.numbers) { broker, _ in
            var session = try broker.attach(Self.asSource)
            try Self.expectClaim(session)
            for n in 1...5 { try Self.expectEmit(session, UInt64(n), "\(n)") }
            try Self.commit(session, 2)
            session.hangUp()
            session = try broker.attach(Self.asSource)
            // It had applied 3 before it went, without a word.
            try Self.expectClaim(session, last: 3, checkpoint: "3")
            try Self.expectEmit(session, 4, "4")
            try Self.expectEmit(session, 5, "5")
            try Self.commit(session, 5)
            #expect(try session.nextControl() == .finished(partition: "numbers"))
            try session.end()
        }
        #expect(exit == Exit(code: 0))
    }

    @Test func aBrokerThatKnowsLessThanItConfirmedEndsTheSource() async throws {
        let exit = try await FakeBroker.play(Self.numbers) { broker, _ in
            var session = try broker.attach(Self.asSource)
            try Self.expectClaim(session)
            for n in 1...5 { try Self.expectEmit(session, UInt64(n), "\(n)") }
            try Self.commit(session, 2)
            session.hangUp()
            session = try broker.attach(Self.asSource)
            try Self.expectClaim(session, last: 0)
            guard case .close? = try session.nextControl() else { throw FakeBroker.Failure(description: "no Close") }
        }
        #expect(exit.code == 1)
        #expect(exit.message.contains("the broker stands at emit id 0, this process between 2 and 5"))
    }

    @Test func aSourceWaitsForCreditAndForNothingElse() async throws {
        let exit = try await FakeBroker.play(Self.numbers) { broker, _ in
            let session = try broker.attach {
                Self.asSource(&$0)
                $0.maxStepRecords = 1
            }
            try Self.expectClaim(session)
            for n in 1...5 {
                try Self.expectEmit(session, UInt64(n), "\(n)")
                // The next one must not come before: the fake broker throws when credit is overshot.
                try session.send(.ping(nonce: 1))
                #expect(try session.nextControl() == .pong(nonce: 1))
                try session.grant(0, records: 1, bytes: 0)
            }
            try Self.commit(session, 5)
            #expect(try session.nextControl() == .finished(partition: "numbers"))
            try session.end()
        }
        #expect(exit == Exit(code: 0))
    }

    @Test func aShutdownStopsASourceThatNeverEnds() async throws {
        let endless = Stage.source { source in
            let partition = try await source.claim("numbers")
            try await partition.emit([Output(text: "1")], checkpoint: "1")
            try await Task.sleep(for: .seconds(3600))
        }
        let exit = try await FakeBroker.play(endless) { broker, _ in
            let session = try broker.attach(Self.asSource)
            try Self.expectClaim(session)
            try Self.expectEmit(session, 1, "1")
            try session.send(.drain(.shutdown, deadlineMS: 5000))
            try session.send(.ping(nonce: 2))
            #expect(try session.nextControl() == .pong(nonce: 2), "it waits for Committed, and answers meanwhile")
            try Self.commit(session, 1)
            guard case .close(let reason)? = try session.nextControl() else {
                throw FakeBroker.Failure(description: "no Close")
            }
            #expect(reason.code == 0)
            session.hangUp()
        }
        #expect(exit == Exit(code: 0))
    }

    @Test func aShutdownStopsASourceThatWaitsForCredit() async throws {
        let endless = Stage.source { source in
            let partition = try await source.claim("numbers")
            while true { try await partition.emit([Output(text: "1")], checkpoint: "1") }
        }
        let exit = try await FakeBroker.play(endless) { broker, _ in
            let session = try broker.attach {
                Self.asSource(&$0)
                $0.maxStepRecords = 1
            }
            try Self.expectClaim(session)
            try Self.expectEmit(session, 1, "1")
            try Self.commit(session, 1)
            try session.send(.drain(.shutdown, deadlineMS: 5000))
            guard case .close? = try session.nextControl() else { throw FakeBroker.Failure(description: "no Close") }
            session.hangUp()
        }
        #expect(exit == Exit(code: 0))
    }

    @Test func aSourceWithoutWorkFinishesAPartitionOfItsOwn() async throws {
        let exit = try await FakeBroker.play(.source { _ in }) { broker, _ in
            let session = try broker.attach(Self.asSource)
            #expect(try session.nextControl() == .claim(partition: "shout-1"))
            try session.send(.claimed(partition: "shout-1", epoch: 1, lastEmitID: 0, checkpoint: []))
            #expect(try session.nextControl() == .finished(partition: "shout-1"))
            try session.end()
        }
        #expect(exit == Exit(code: 0))
    }

    @Test func whatASourceThrowsEndsItWithOne() async throws {
        struct Broken: Error {}
        let exit = try await FakeBroker.play(.source { _ in throw Broken() }) { broker, _ in
            let session = try broker.attach(Self.asSource)
            guard case .close? = try session.nextControl() else { throw FakeBroker.Failure(description: "no Close") }
        }
        #expect(exit == Exit(code: 1, message: "the source failed: Broken()"))
    }

    @Test func aRefusedEmitIsReported() async throws {
        let exit = try await FakeBroker.play(Self.numbers) { broker, _ in
            let session = try broker.attach(Self.asSource)
            try Self.expectClaim(session)
            try Self.expectEmit(session, 1, "1")
            let refusal = Refusal(id: 1, error: DeliveryError(.outputTooLarge, "too large"))
            try session.send(.committed(partition: "numbers", through: 1, refused: [refusal]))
            while let message = try session.next() {
                if case .control(.close) = message { break }
            }
        }
        #expect(exit.code == 1)
        #expect(exit.message == "partition “numbers”: the broker refused emit 1: too large [OUTPUT_TOO_LARGE]")
    }
}
