import StagewireModel
import Testing

@testable import StagewireBroker
@testable import StagewireRouter

/// The watch as a value: invented summaries, invented time.
@Suite struct StallWatchTests {
    private static let second: UInt64 = 1_000_000_000

    /// A transform that stands still as `change` says; looked at every 5 s up to `seconds`.
    private struct Scene {
        var watch: StallWatch
        var summary = PipelineSummary()
        var now: UInt64 = 1000 * StallWatchTests.second

        init(launched: Bool = false, _ change: (inout PipelineSummary.Stage) -> Void) {
            let pipeline = PipelineDefinition.chain {
                if launched { $0.stages[1].launch = Launch(command: ["x"]) }
            }
            watch = StallWatch(pipeline, socketPath: "/run/s", patience: .seconds(10))
            summary.stages = Array(repeating: PipelineSummary.Stage(), count: 3)
            change(&summary.stages[1])
        }

        mutating func after(_ seconds: UInt64, change: (inout PipelineSummary.Stage) -> Void = { _ in }) -> [Notice] {
            change(&summary.stages[1])
            var notices: [Notice] = []
            for _ in 0..<(seconds / 5) {
                now += 5 * StallWatchTests.second
                notices += watch.look(at: summary, now: now)
            }
            return notices
        }
    }

    private static func session(_ instance: String, attachedAt: UInt64 = 980 * second) -> PipelineSummary.Session {
        var session = PipelineSummary.Session()
        session.instance = instance
        session.attachedAt = attachedAt
        return session
    }

    private static func spent(_ stage: inout PipelineSummary.Stage) {
        stage.queued = 3
        stage.obstacle = .noCredit
        stage.sessions = [session("a")]
    }

    @Test func creditThatNeverComes() {
        var scene = Scene(Self.spent)
        #expect(scene.after(10) == [])
        let said = scene.after(300)
        #expect(
            said == [
                Notice(
                    .warning, stage: 1, instance: "a",
                    "attached for 35 s and has granted no credit: nothing can be delivered, and 3 records wait; "
                        + "does it send Credit?")
            ])
        #expect(scene.after(5) { $0.obstacle = nil } == [Notice(.info, stage: 1, "goes on after 310 s")])
        #expect(scene.after(100) == [])
    }

    @Test func creditThatStopsComing() {
        var scene = Scene(Self.spent)
        scene.summary.stages[1].delivered = 7
        scene.summary.stages[1].queued = 1
        scene.summary.stages[1].sessions.append(Self.session("b"))
        let said = scene.after(30)
        #expect(
            said == [
                Notice(
                    .warning, stage: 1,
                    "its 2 workers have granted no more credit for 10 s: nothing can be delivered, and 1 record waits; "
                        + "does it send Credit?")
            ])
    }

    @Test func nobodyAttaches() {
        let waiting = { (stage: inout PipelineSummary.Stage) in
            stage.queued = 2
            stage.obstacle = .noWorker
        }
        var external = Scene(waiting)
        #expect(
            external.after(60) == [
                Notice(
                    .warning, stage: 1,
                    "waits for a worker, and 2 records wait: start one that connects to /run/s")
            ])
        var hosted = Scene(launched: true, waiting)
        #expect(hosted.after(60) == [])
    }

    @Test func whatMovesIsNotMentioned() {
        var scene = Scene(Self.spent)
        for delivered in 1...20 as ClosedRange<UInt64> {
            #expect(scene.after(5) { $0.delivered = delivered } == [])
        }
        for obstacle in [PipelineSummary.Obstacle.outputFull, .parkingFull, .deadLettersFull, nil] {
            #expect(scene.after(60) { $0.obstacle = obstacle } == [])
        }
    }

    /// A worker that grants a little every 30 s is worth one line a minute and not more.
    @Test func neverFloods() {
        var scene = Scene(Self.spent)
        var warnings = 0
        for delivered in 1...60 as ClosedRange<UInt64> {
            let notices = scene.after(30) { $0.delivered = delivered }
            warnings += notices.count { $0.level == .warning }
            #expect(notices.count <= 2)
        }
        #expect(warnings >= 15 && warnings <= 31)
    }

    @Test func theEndOfAStageIsNoNews() {
        var scene = Scene(Self.spent)
        #expect(scene.after(30).count == 1)
        let ended = scene.after(5) {
            $0.phase = .ended
            $0.obstacle = nil
        }
        #expect(ended == [])
    }
}
