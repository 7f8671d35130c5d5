import Foundation
import StagewireControl
import Testing

@testable import stagewire

/// What a person reads of a paused stage, and how one writes a moment.
@Suite struct BreakerSentenceTests {
    private func lines(
        _ state: StageStatus.Breaker.State, seconds: Double?, queued: Int, most: Int,
        obstacle: StageStatus.Obstacle?
    ) -> [String] {
        let breaker = StageStatus.Breaker(
            state: state, seconds: seconds, dead: 50, of: 62, reason: "REJECTED", most: most,
            error: .init(code: 1001, name: nil, message: "no model\u{1b}[2J"))
        let stage = StageStatus(
            name: "score", kind: .sink, state: .running, obstacle: obstacle, breaker: breaker, inputs: [],
            ports: ["out"],
            workers: [], workersWanted: 1, in: 62, out: 0, filtered: 0, retried: 0, dead: 50, dropped: 0, unmatched: 0,
            crashes: 0, delivered: 62, inFlight: 0, queued: queued, deadLetters: 50, creditRecords: 0, creditBytes: 0)
        let status = PipelineStatus(
            pipeline: "p", state: .running, durability: "memory", pid: 1, stagewire: "0", socket: "", controlSocket: "",
            startedAt: "", uptimeSeconds: 1, bytes: 0, stages: [stage])
        return StatusView(status: status).lines()
    }

    @Test func paused() {
        let lines = lines(.open, seconds: 25.04, queued: 1200, most: 48, obstacle: .breakerOpen)
        #expect(
            lines.dropFirst(3).first
                == "score is paused with 1,200 records waiting: 50 of its last 62 records were given up on, 48 of them "
                + "REJECTED (the last one: no model\\u{1b}[2J); it tries again in 25 s, or at once: stagewire resume score"
        )
        #expect(lines.dropFirst(4).first?.hasPrefix("score has 50 dead letters") == true && lines.count == 5)
    }

    @Test func tryingAndInTheWayOfNobody() {
        let lines = lines(.trying, seconds: nil, queued: 0, most: 50, obstacle: nil)
        #expect(lines.dropFirst(3).first?.hasPrefix("score tries a few records: 50 of its last 62") == true)
        #expect(lines.dropFirst(3).first?.contains("all of them REJECTED") == true)
    }

    @Test func anotherObstacleIsSaidAsWell() {
        let lines = lines(.open, seconds: 1, queued: 3, most: 50, obstacle: .deadLettersFull)
        #expect(lines.count { $0.contains("is paused with 3 records") } == 1)
        #expect(lines.count { $0.contains("leave no room") } == 1)
    }

    // MARK: Moments

    private let now = Date(timeIntervalSince1970: 1_795_233_906)

    @Test(arguments: [
        ("2026-11-21T04:05:06Z", "2026-11-21T04:05:06.000000Z"),
        ("2026-11-21T05:05:06.25+01:00", "2026-11-21T04:05:06.250000Z"), ("10m", "2026-11-21T03:55:06.000000Z"),
        ("1d2h", "2026-11-20T02:05:06.000000Z"), ("500ms", "2026-11-21T04:05:05.500000Z"),
    ]) func moments(_ text: String, _ meant: String) {
        #expect(PointInTime(text, now: now)?.text == meant)
    }

    @Test(arguments: ["", "now", "2026-11-21", "10", "-10m", "10 m"]) func noMoments(_ text: String) {
        #expect(PointInTime(text, now: now) == nil)
    }

    @Test func attributes() throws {
        #expect(try LetterAttribute.parse("level=high") == LetterAttribute(name: "level", value: "high"))
        #expect(try LetterAttribute.parse("a=b=c").value == "b=c" && LetterAttribute.parse("a=").value == "")
        #expect(throws: (any Error).self) { try LetterAttribute.parse("level") }
        #expect(throws: (any Error).self) { try LetterAttribute.parse("=high") }
    }
}
