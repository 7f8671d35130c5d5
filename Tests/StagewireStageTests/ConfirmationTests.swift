import StagewireModel
import Synchronization
import Testing

@testable import StagewireStage

/// `Record.onConfirmed`: the worker's side of settle-confirm.
@Suite struct ConfirmationTests {
    /// What was done, in order.
    private final class Journal: Sendable {
        private let entries = Mutex<[String]>([])
        var all: [String] { entries.withLock { $0 } }
        func write(_ text: String) { entries.withLock { $0.append(text) } }
    }

    private struct Broken: Error {}

    @Test func onlyWhatIsConfirmedIsDoneAndInOrder() async throws {
        let journal = Journal()
        let stage = Stage.sink { record in
            let text = try record.text()
            record.onConfirmed { journal.write(text) }
            record.onConfirmed { journal.write("\(text) again") }
        }
        let exit = try await FakeBroker.play(stage) { broker, _ in
            let session = try broker.attach()
            #expect(session.hello.offered == ["settle-confirm"])
            try session.deliver(["a", "b", "c"])
            _ = try session.outcomes(3)
            try session.send(.settled(through: 1, refused: []))
            try session.send(.settled(through: 2, refused: []))
            try session.send(.settled(through: 2, refused: []))
            try session.end()
        }
        #expect(exit == Exit(code: 0))
        #expect(journal.all == ["a", "a again", "b", "b again"])
    }

    @Test func whatIsNotAcceptedIsNotDone() async throws {
        let journal = Journal()
        let stage = Stage.sink { record in
            let text = try record.text()
            record.onConfirmed { journal.write(text) }
            switch text {
            case "reject": throw Verdict.reject(1001, "no")
            case "retry": throw Verdict.retry("later")
            case "throw": throw Broken()
            default: break
            }
        }
        let exit = try await FakeBroker.play(stage) { broker, _ in
            let session = try broker.attach()
            try session.deliver(["reject", "retry", "throw", "good"])
            _ = try session.outcomes(4)
            try session.send(.settled(through: 4, refused: []))
            try session.end()
        }
        #expect(exit == Exit(code: 0))
        #expect(journal.all == ["good"])
    }

    @Test func whatTheBrokerRefusesIsNotDone() async throws {
        let journal = Journal()
        let stage = Stage.transform { record, out in
            let text = try record.text()
            record.onConfirmed { journal.write(text) }
            out.emit(record.output())
        }
        let exit = try await FakeBroker.play(stage) { broker, _ in
            let session = try broker.attach()
            try session.deliver(["a", "b", "c"])
            _ = try session.outcomes(3)
            // A refusal may come before its outcome is confirmed.
            try session.send(
                .settled(through: 1, refused: [Refusal(id: 2, error: DeliveryError(code: 306, message: "no output"))]))
            try session.send(.settled(through: 3, refused: []))
            try session.end()
        }
        #expect(exit == Exit(code: 0))
        #expect(journal.all == ["a", "c"])
    }

    @Test func aRefusedWindowIsNamedByItsFirstRecord() async throws {
        let journal = Journal()
        let stage = Stage.window(.records(2), byKey: false) { window, out in
            for record in window.records {
                let text = try record.text()
                record.onConfirmed { journal.write(text) }
            }
            out.emit(text: "window")
        }
        let exit = try await FakeBroker.play(stage) { broker, _ in
            let session = try broker.attach()
            try session.deliver(["a", "b", "c", "d"])
            _ = try session.outcomes(4)
            try session.send(
                .settled(through: 4, refused: [Refusal(id: 1, error: DeliveryError(code: 306, message: "no output"))]))
            try session.end()
        }
        #expect(exit == Exit(code: 0))
        #expect(journal.all == ["c", "d"])
    }

    @Test func anActionThatFailsEndsNothing() async throws {
        let journal = Journal()
        let stage = Stage.sink { record in
            let text = try record.text()
            record.onConfirmed {
                if text == "a" { throw Broken() }
                journal.write(text)
            }
        }
        let exit = try await FakeBroker.play(stage) { broker, _ in
            let session = try broker.attach()
            try session.deliver(["a", "b"])
            _ = try session.outcomes(2)
            try session.send(.settled(through: 2, refused: []))
            try session.end()
        }
        #expect(exit == Exit(code: 0))
        #expect(journal.all == ["b"])
    }
}
