import StagewireModel
import Testing

@testable import StagewireBroker

@Suite struct RestartPolicyTests {
    private let second: UInt64 = 1_000_000_000

    @Test func delaysDoubleUntilTheBreaker() {
        var policy = RestartPolicy()
        var decisions: [RestartPolicy.Decision] = []
        for exit in 0..<5 {
            decisions.append(policy.exited(startedAt: UInt64(exit) * second, now: UInt64(exit) * second))
        }
        #expect(
            decisions == [
                .restart(after: .milliseconds(500)), .restart(after: .seconds(1)), .restart(after: .seconds(2)),
                .restart(after: .seconds(4)), .giveUp,
            ])
    }

    @Test func delaysStopAtThirtySeconds() {
        var policy = RestartPolicy()
        var last = RestartPolicy.Decision.giveUp
        // One exit in 40 s, after a second of life each: never five within two minutes.
        for exit in 1...10 {
            last = policy.exited(startedAt: UInt64(exit) * 40 * second - second, now: UInt64(exit) * 40 * second)
        }
        #expect(last == .restart(after: .seconds(30)))
    }

    @Test func healthResetsTheDelay() {
        var policy = RestartPolicy()
        _ = policy.exited(startedAt: 0, now: second)
        _ = policy.exited(startedAt: second, now: 2 * second)
        #expect(policy.exited(startedAt: 2 * second, now: 32 * second) == .restart(after: .milliseconds(500)))
    }
}
