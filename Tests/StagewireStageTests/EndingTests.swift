import Foundation
import StagewireModel
import Synchronization
import Testing

@testable import StagewireStage

/// Holds a handler that does not care for cancellation, without a thread: those of Swift's pool are as few as the
/// machine's processors, and the worker needs one, too.
private final class Gate: Sendable {
    private let state = Mutex<(isOpen: Bool, waiter: CheckedContinuation<Void, Never>?)>((false, nil))

    func wait() async {
        await withCheckedContinuation { continuation in
            let isOpen = state.withLock { state in
                if !state.isOpen { state.waiter = continuation }
                return state.isOpen
            }
            if isOpen { continuation.resume() }
        }
    }

    func open() {
        let waiter = state.withLock { state in
            state.isOpen = true
            return state.waiter
        }
        waiter?.resume()
    }
}

/// Bad input and bad ends.
@Suite struct EndingTests {
    private static let shout = Stage.transform { record, out in out.emit(record.output(text: try record.text() + "!")) }

    @Test func aBrokerThatIsNotThereYetIsWaitedFor() async throws {
        let exit = try await FakeBroker.play(Self.shout) { broker, _ in
            broker.disappear()
            try broker.listen()
            let session = try broker.attach()
            try session.deliver(["a"])
            #expect(try session.outcomes(1).flatMap(\.emissions).map(\.text) == ["a!"])
            try session.end()
        }
        #expect(exit == Exit(code: 0))
    }

    @Test func aStartedWorkerEndsWithItsBroker() async throws {
        let exit = try await FakeBroker.play(Self.shout, token: [1, 2]) { broker, _ in
            let session = try broker.attach()
            #expect(session.hello.token == [1, 2])
            session.hangUp()
        }
        #expect(exit.code == 1)
        #expect(exit.message == "the broker is gone: the connection ended without a word")
    }

    @Test func aBrokerThatRestartsIsAttachedToAgain() async throws {
        let exit = try await FakeBroker.play(Self.shout) { broker, _ in
            var session = try broker.attach()
            try session.deliver(["a", "b"])
            _ = try session.outcomes(2)
            session.hangUp()
            session = try broker.attach()
            // Ids begin anew (EN-6).
            try session.deliver(["c"])
            #expect(try session.outcomes(1).map(\.deliveries) == [[1]])
            try session.end()
        }
        #expect(exit == Exit(code: 0))
    }

    @Test(arguments: [(200, 2), (106, 2), (4711, 2)] as [(UInt32, Int32)])
    func aRefusalIsSaidAndIsFinal(_ code: UInt32, _ exitCode: Int32) async throws {
        let exit = try await FakeBroker.play(Self.shout) { broker, _ in
            let session = try broker.accept()
            try session.end(code, "no stage shuot; did you mean shout?")
        }
        #expect(exit.code == exitCode)
        #expect(exit.message.hasPrefix("no stage shuot; did you mean shout?"))
    }

    @Test func aRetryableRefusalIsTriedAgain() async throws {
        let exit = try await FakeBroker.play(Self.shout) { broker, _ in
            try broker.accept().end(Code.stageFull.rawValue, "full")
            try broker.attach().end()
        }
        #expect(exit == Exit(code: 0))
    }

    @Test func aCloseOfAnotherMajorVersionIsUnderstood() async throws {
        let exit = try await FakeBroker.play(Self.shout) { broker, _ in
            let session = try broker.accept()
            var envelope = MiniProto()
            envelope.varint(1, 2000)
            envelope.message(4) {
                $0.varint(1, 102)
                $0.content(2, Array("this broker speaks 2.0".utf8))
            }
            try session.send(MiniProto.prefixed(envelope.bytes))
            while try session.receiveFrame() != nil {}
        }
        #expect(exit == Exit(code: 2, message: "this broker speaks 2.0 [UNSUPPORTED_VERSION]"))
    }

    @Test func framesMayComeByteByByteAndWithWhatNobodyKnows() async throws {
        let exit = try await FakeBroker.play(Self.shout) { broker, _ in
            let session = try broker.attach()
            var unknownKind = MiniProto()
            unknownKind.varint(1, 1000)
            unknownKind.content(30, [1, 2, 3])
            var unknownField = MiniProto()
            unknownField.varint(1, 1000)
            unknownField.varint(900, 5)
            unknownField.message(8) {
                $0.varint(2, 1)
                $0.content(4, FakeSession.record("a"))
                $0.content(77, [1])
            }
            try session.send(MiniProto.prefixed(unknownKind.bytes))
            for byte in MiniProto.prefixed(unknownField.bytes) { try session.send([byte]) }
            guard case .settle(let outcomes)? = try session.receiveFrameSkippingCredit() else {
                throw FakeBroker.Failure(description: "no Settle")
            }
            #expect(outcomes.flatMap(\.emissions).map(\.text) == ["a!"])
            try session.end()
        }
        #expect(exit == Exit(code: 0))
    }

    private static let broken: [([UInt8], Code)] = [
        ([0, 0, 0, 0], .malformedFrame), ([0xff, 0, 0, 0], .frameTooLarge),
        ([0, 0, 0, 2, 0xff, 0xff], .malformedFrame),
        (Array("HTTP/1.1 400 Bad Request".utf8), .frameTooLarge),
    ]

    /// Coming back would meet the same: exit code 2, for whoever started the worker, and whatever kind of stage it is.
    @Test(arguments: broken, [[], [1, 2]] as [[UInt8]])
    func brokenFramesEndTheWorker(_ frame: ([UInt8], Code), _ token: [UInt8]) async throws {
        let source = Stage.source { _ in try await Task.sleep(for: .seconds(3600)) }
        for stage in [Self.shout, .window(.records(9)) { _, _ in }, source] {
            let exit = try await FakeBroker.play(stage, token: token) { broker, _ in
                let session = try broker.attach()
                try session.send(frame.0)
                try session.expectClose(frame.1)
            }
            #expect(exit.code == 2)
            #expect(exit.message.hasSuffix("[\(frame.1.name)]"))
        }
    }

    @Test(arguments: broken, [[], [1, 2]] as [[UInt8]])
    func aBrokenAnswerToHelloEndsTheWorker(_ frame: ([UInt8], Code), _ token: [UInt8]) async throws {
        let exit = try await FakeBroker.play(Self.shout, token: token) { broker, _ in
            let session = try broker.accept()
            try session.send(frame.0)
            try session.expectClose(frame.1)
        }
        #expect(exit.code == 2)
        #expect(exit.message.hasSuffix("[\(frame.1.name)]"))
    }

    /// Behind the worker's Close: the broker may be in the middle of something (EN-1).
    @Test(arguments: [true, false]) func whatTheBrokerStillSendsIsRead(_ isWelcome: Bool) async throws {
        let exit = try await FakeBroker.play(Self.shout) { broker, _ in
            let session = try isWelcome ? broker.attach() : broker.accept()
            try session.send([0, 0, 0, 0])
            guard case .close? = try session.nextControl() else { throw FakeBroker.Failure(description: "no Close") }
            for _ in 0..<64 { try session.send([UInt8](repeating: 0, count: 65_536)) }
        }
        #expect(exit.code == 2)
    }

    /// What the worker works on does not change what is wrong.
    @Test func aBrokenFrameEndsAWorkerThatIsBusy() async throws {
        let (started, gate) = (DispatchSemaphore(value: 0), Gate())
        let stage = Stage.sink { _ in
            started.signal()
            await gate.wait()
        }
        let exit = try await FakeBroker.play(stage, token: [1], patience: 20 * Uptime.millisecond) { broker, _ in
            let session = try broker.attach()
            try session.deliver(["a"])
            started.wait()
            try session.send([0, 0, 0, 0])
            try session.expectClose(.malformedFrame)
        }
        gate.open()
        #expect(exit.code == 2)
        #expect(exit.message.hasSuffix("[MALFORMED_FRAME]"))
    }

    @Test func aHandlerThatOutlivesItsSessionEndsTheWorker() async throws {
        let (started, gate) = (DispatchSemaphore(value: 0), Gate())
        let stage = Stage.sink { _ in
            started.signal()
            await gate.wait()
        }
        let exit = try await FakeBroker.play(stage, patience: 20 * Uptime.millisecond) { broker, _ in
            let session = try broker.attach()
            try session.deliver(["a"])
            started.wait()
            session.hangUp()
        }
        gate.open()
        #expect(exit.code == 1)
    }

    @Test func anOvershotGrantEndsTheSession() async throws {
        let exit = try await FakeBroker.play(.sink { _ in }) { broker, _ in
            let session = try broker.attach()
            let records = [[UInt8]](repeating: FakeSession.record("x"), count: 9000)
            try session.send(FakeSession.deliver(records, first: 1))
            guard case .close(let reason)? = try session.nextControl() else {
                throw FakeBroker.Failure(description: "no Close")
            }
            #expect(reason.code == Code.creditExceeded.rawValue)
        }
        #expect(exit.code == 2)
    }

    @Test func heartbeatsAndLeasesGoOnWhileAHandlerBlocks() async throws {
        let gate = DispatchSemaphore(value: 0)
        let stage = Stage.sink { _ in gate.wait() }
        let exit = try await FakeBroker.play(stage) { broker, _ in
            let session = try broker.attach { $0.leaseMS = 90 }
            try session.deliver(["a"])
            #expect(try session.nextControl() == .extend)
            try session.send(.ping(nonce: 9))
            var seen: ControlMessage?
            while seen != .pong(nonce: 9) { seen = try session.nextControl() }
            gate.signal()
            _ = try session.outcomes(1)
            try session.end()
        }
        #expect(exit == Exit(code: 0))
    }

    @Test func aHandlerThatIsOverdueIsCancelledAndTheWorkerGoesOn() async throws {
        let stage = Stage.transform { record, out in
            if record.payload == Array("slow".utf8) { try await Task.sleep(for: .seconds(3600)) }
            out.emit(text: "done")
        }.timeout(.milliseconds(50))
        let exit = try await FakeBroker.play(stage) { broker, _ in
            let session = try broker.attach()
            try session.deliver(["slow", "b"])
            let seen = try session.outcomes(2)
            #expect(seen.map(\.kind) == [3, 1])
            #expect(seen[0].indefinite)
            #expect(seen[0].message.contains("cancelled after its limit"))
            try session.end()
        }
        #expect(exit == Exit(code: 0))
    }

    @Test func anOverdueHandlerThatDoesNotListenGetsNoMoreLease() async throws {
        let gate = DispatchSemaphore(value: 0)
        let stage = Stage.sink { _ in gate.wait() }.timeout(.seconds(1))
        let exit = try await FakeBroker.play(stage) { broker, _ in
            let session = try broker.attach { $0.leaseMS = 60 }
            try session.deliver(["a"])
            #expect(try session.nextControl() == .extend)
            var extensions = 1
            // Silence for four thirds of a lease means that it has stopped; ping in between proves that it lives.
            while try session.isTalking(withinMS: 80) {
                guard case .control(.extend)? = try session.next() else { continue }
                extensions += 1
            }
            #expect(extensions < 100, "every 20 ms for a second")
            gate.signal()
            _ = try session.outcomes(1)
            try session.end()
        }
        #expect(exit == Exit(code: 0))
    }

    @Test func aSignalFinishesWhatIsAtHandAndGivesBackTheRest() async throws {
        let gate = DispatchSemaphore(value: 0)
        let started = DispatchSemaphore(value: 0)
        let stage = Stage.sink { _ in
            started.signal()
            gate.wait()
        }
        let exit = try await FakeBroker.play(stage) { broker, hub in
            let session = try broker.attach()
            try session.deliver(["a", "b", "c"])
            started.wait()
            hub.leave()
            gate.signal()
            #expect(try session.outcomes(1).map(\.deliveries).first?.first == 1)
            while let message = try session.next() {
                guard case .control(.close(let reason)) = message else { continue }
                #expect(reason.code == 0, "Close(0) releases what is held")
                break
            }
            session.hangUp()
        }
        #expect(exit == Exit(code: 0))
    }

    @Test func aWorkerWithoutAnEnvironmentSaysWhatToDo() throws {
        unsetenv("STAGEWIRE_SOCKET")
        setenv("STAGEWIRE_TOKEN", "00ff", 1)
        #expect(throws: ConfigurationError.self) { try WorkerEnvironment.take() }
        #expect(getenv("STAGEWIRE_TOKEN") == nil, "children must not inherit it")
    }
}

extension FakeSession {
    fileprivate func expectClose(_ code: Code) throws {
        guard case .close(let reason)? = try nextControl() else {
            throw FakeBroker.Failure(description: "no Close")
        }
        #expect(reason.code == code.rawValue)
        hangUp()
    }

    fileprivate func receiveFrameSkippingCredit() throws -> Message? {
        while let message = try receiveFrame() {
            if case .control(.credit) = message { continue }
            return message
        }
        return nil
    }
}
