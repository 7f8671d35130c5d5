import StagewireModel
import StagewireSimulation
import Testing

@testable import StagewireRouter

/// From a connection to a session, or to a sentence that says why not.
@Suite struct HandshakeTests {
    private let now = Moment(uptime: 1_000_000_000, wall: 1)

    private func router(_ change: (inout PipelineDefinition) -> Void = { _ in }) -> Router {
        var sink = StageDefinition(name: "sink", inputs: [InputDefinition(stage: 0)])
        sink.maxWorkers = 2
        var pipeline = PipelineDefinition(
            name: "p", stages: [StageDefinition(name: "source", isSource: true), sink])
        change(&pipeline)
        return Router(pipeline)
    }

    private func hello(_ change: (inout Hello) -> Void = { _ in }) -> Hello {
        var hello = Hello()
        hello.stage = "sink"
        hello.instance = "one"
        change(&hello)
        return hello
    }

    /// What the router answers to a Hello: a Welcome, or the code of its Close.
    private func answer(_ router: inout Router, _ number: UInt64, _ hello: Hello) -> (welcome: Welcome?, code: UInt32?)
    {
        router.clearEffects()
        router.handle(.connected(ConnectionID(number), uid: 0), at: now)
        router.handle(.received(ConnectionID(number), .hello(hello)), at: now)
        var result: (welcome: Welcome?, code: UInt32?) = (nil, nil)
        for effect in router.effects {
            switch effect {
            case .send(_, .welcome(let welcome)): result.welcome = welcome
            case .close(_, let reason): result.code = reason.code
            case .send, .deliver, .read, .replayDropped, .workerLost, .stageEnded, .pipelineEnded, .log: break
            }
        }
        return result
    }

    @Test func welcomeSaysWhatIsInForce() throws {
        var router = router()
        let welcome = try #require(
            answer(
                &router, 1,
                hello {
                    $0.offered = [Feature.holds, "x-unheard-of", Feature.settleConfirm]
                    $0.maxFrame = 2 << 20
                }
            ).welcome)
        #expect(welcome.version == 1000 && welcome.pipeline == "p" && welcome.instance == "one")
        #expect(Set(welcome.features) == [Feature.holds, Feature.settleConfirm])
        #expect(welcome.maxFrame == 2 << 20 && welcome.maxRecord == 1 << 20)
        #expect(welcome.stampReserve == UInt64(router.pipeline.stampReserve))
        #expect(welcome.inputs.count == 1 && welcome.inputs[0].stage == "source" && welcome.inputs[0].port == "out")
        #expect(welcome.inputs[0].ordering == .key && welcome.inputs[0].maxUnsettledRecords == 4096)
        #expect(welcome.outputs == [Welcome.Output(number: 0, port: "out")])
        #expect(welcome.leaseMS == 30_000 && welcome.heartbeatMS == 10_000 && welcome.idleMS == 30_000)
    }

    @Test func versionsThatDoNotMeet() {
        var router = router()
        let cases: [(UInt32, UInt32, Code?)] = [
            (1000, 1000, nil), (1000, 1007, nil), (1001, 1002, .unsupportedVersion), (2000, 2001, .unsupportedVersion),
            (1000, 2000, .malformedHello), (1002, 1001, .malformedHello), (0, 0, .unsupportedVersion),
        ]
        for (index, (least, most, code)) in cases.enumerated() {
            let result = answer(
                &router, UInt64(index + 1),
                hello {
                    $0.minVersion = least
                    $0.maxVersion = most
                    $0.stage = "source"
                    $0.instance = "\(index)"
                })
            #expect(result.code == code?.rawValue, "\(least) to \(most)")
            #expect((result.welcome == nil) == (code != nil))
        }
    }

    @Test func whatAHelloIsRefusedFor() {
        var router = router { $0.stages[0].launch = Launch(command: ["x"]) }
        let cases: [(Code, (inout Hello) -> Void)] = [
            (.unsupportedFeature, { $0.required = ["state"] }),
            (.frameLimitTooSmall, { $0.maxFrame = 1 << 20 }),
            (.unknownStage, { $0.stage = "snik" }),
            (.unauthenticated, { $0.stage = "source" }),
            (.unauthenticated, { $0.token = [1, 2, 3] }),
        ]
        for (index, (code, change)) in cases.enumerated() {
            #expect(answer(&router, UInt64(index + 1), hello(change)).code == code.rawValue)
        }
        #expect(router.stages.flatMap(\.sessions) == [], "a refused Hello leaves no session behind")
        #expect(router.handshaking == 0)
    }

    @Test func aTokenNamesTheInstanceAndWorksUntilForgotten() throws {
        var router = router { $0.stages[0].launch = Launch(command: ["x"]) }
        router.handle(.expectWorker(stage: 0, instance: "7", token: [9, 9]), at: now)
        let welcome = answer(
            &router, 1,
            hello {
                $0.stage = "source"
                $0.instance = "liar"
                $0.token = [9, 9]
            }
        ).welcome
        #expect(try #require(welcome).instance == "7")
        router.handle(.disconnected(ConnectionID(1)), at: now)
        router.handle(.forgetWorker(token: [9, 9]), at: now)
        let again = answer(
            &router, 2,
            hello {
                $0.stage = "source"
                $0.token = [9, 9]
            })
        #expect(again.code == Code.unauthenticated.rawValue)
    }

    @Test func aStageHasItsWorkersAndTheirNamesOnce() {
        var router = router()
        #expect(answer(&router, 1, hello()).welcome != nil)
        #expect(answer(&router, 2, hello()).code == Code.duplicateInstance.rawValue)
        #expect(answer(&router, 3, hello { $0.instance = "" }).welcome?.instance == "sink-x1")
        #expect(answer(&router, 4, hello { $0.instance = "three" }).code == Code.stageFull.rawValue)
        router.handle(.disconnected(ConnectionID(1)), at: now)
        #expect(answer(&router, 5, hello()).welcome != nil, "a place that was left can be taken")
    }

    @Test func silenceEndsAHandshakeAndNothingElse() {
        var router = router()
        router.handle(.connected(ConnectionID(1), uid: 0), at: now)
        #expect(answer(&router, 2, hello()).welcome != nil)
        router.clearEffects()
        let later = Moment(uptime: now.uptime + 5_000_000_000, wall: 1)
        router.handle(.tick, at: later)
        let closed = router.effects.compactMap { effect -> (ConnectionID, UInt32)? in
            if case .close(let connection, let reason) = effect { (connection, reason.code) } else { nil }
        }
        #expect(closed.count == 1 && closed[0] == (ConnectionID(1), Code.handshakeTimeout.rawValue))
    }

    @Test func anythingBeforeHelloCloses() {
        for message in [
            ControlMessage.ping(nonce: 1), .extend, .claim(partition: "p"), .credit(CreditLimit(records: 1, bytes: 1)),
        ] {
            var router = router()
            router.handle(.connected(ConnectionID(1), uid: 0), at: now)
            router.handle(.received(ConnectionID(1), message), at: now)
            guard case .close(_, let reason)? = router.effects.last else {
                Issue.record("\(message) was taken")
                continue
            }
            #expect(reason.code == Code.unexpectedMessage.rawValue)
        }
    }

    @Test func strangersAreBounded() {
        var router = router()
        for number in 1...UInt64(Limits.unauthenticated) {
            router.handle(.connected(ConnectionID(number), uid: 0), at: now)
        }
        #expect(router.effects.isEmpty)
        router.handle(.connected(ConnectionID(1000), uid: 0), at: now)
        guard case .close(ConnectionID(1000), let reason)? = router.effects.last else {
            Issue.record("one too many was let in")
            return
        }
        #expect(reason.code == Code.tooManyConnections.rawValue)
    }
}
