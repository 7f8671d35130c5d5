import StagewireModel
import StagewireTestSupport
import Testing

@testable import StagewireRouter

/// A breaker that expectations can change.
private final class Tried {
    private(set) var breaker: Breaker
    private var occasion: UInt64 = 0

    init(_ policy: BreakerPolicy?) { breaker = Breaker(policy) }

    var state: Breaker.State { breaker.state }
    var isClosed: Bool { breaker.isClosed }
    var finding: PipelineSummary.Pause.Finding { breaker.finding }

    func accepted(_ count: Int) -> Bool { breaker.accepted(count) }
    func wake(at now: UInt64) -> Bool { breaker.wake(at: now) }
    func resume() -> Bool { breaker.resume() }

    /// So many given up on one by one, or all on one occasion.
    func died(
        _ count: Int = 1, _ reason: Code = .rejected, at now: UInt64 = 0, together: Bool = false,
        error: DeliveryError = DeliveryError(.rejected, "no model")
    ) -> UInt64? {
        var until: UInt64?
        if together { occasion += 1 }
        for _ in 0..<count {
            if !together { occasion += 1 }
            until = breaker.died(reason, error, on: occasion, at: now) ?? until
        }
        return until
    }
}

@Suite struct BreakerTests {
    private static func policy(
        _ failures: Int, of window: Int, pause: ClosedRange<Int> = 100...1000
    ) -> BreakerPolicy {
        var policy = BreakerPolicy()
        (policy.failures, policy.window) = (failures, window)
        (policy.pauseFirst, policy.pauseLimit) = (.milliseconds(pause.lowerBound), .milliseconds(pause.upperBound))
        return policy
    }

    /// Every order of up to twelve verdicts, against all of them written down.
    @Test(arguments: [(1, 1), (1, 4), (2, 3), (3, 3), (3, 5)]) func opensAtSoManyOfTheLast(
        _ failures: Int, _ window: Int
    ) {
        for pattern in 0..<1 << 12 {
            let breaker = Tried(Self.policy(failures, of: window))
            var verdicts: [Bool] = []
            for step in 0..<12 {
                let isDead = pattern >> step & 1 == 1
                verdicts.append(isDead)
                let dead = verdicts.suffix(window).count { $0 }
                if isDead {
                    let until = breaker.died(at: 7)
                    #expect((until != nil) == (dead >= failures))
                } else {
                    #expect(!breaker.accepted(1))
                }
                #expect(breaker.isClosed == (dead < failures))
                guard breaker.isClosed else {
                    let finding = breaker.finding
                    #expect(finding.dead == dead && finding.of == min(verdicts.count, window))
                    break
                }
            }
        }
    }

    /// Accepted ones in one go are as many as one by one.
    @Test func manyAtOnce() {
        for count in 0...9 {
            let together = Tried(Self.policy(3, of: 5))
            let single = Tried(Self.policy(3, of: 5))
            _ = (together.died(2), single.died(2))
            _ = together.accepted(count)
            for _ in 0..<count { _ = single.accepted(1) }
            for _ in 0..<3 { #expect(together.died() == single.died()) }
            #expect(together.state == single.state && together.finding == single.finding)
        }
    }

    /// A bad batch is one mistake; ten of them are not.
    @Test func oneOccasionCountsFiveTimesAtMost() {
        let breaker = Tried(BreakerPolicy())
        for _ in 0..<9 { #expect(breaker.died(1000, together: true) == nil) }
        #expect(breaker.died(4, together: true) == nil)
        #expect(breaker.died() != nil)
    }

    @Test func ordinaryPoisonDoesNotOpenIt() {
        var random = SplitMix64(seed: 11)
        let breaker = Tried(BreakerPolicy())
        for _ in 0..<300_000 {
            if Int.random(in: 0..<10, using: &random) < 2 { _ = breaker.died() } else { _ = breaker.accepted(1) }
        }
        #expect(breaker.isClosed)
    }

    @Test func noneNeverOpens() {
        let breaker = Tried(nil)
        #expect(breaker.died(100_000, .crashed) == nil)
        #expect(!breaker.accepted(3) && breaker.isClosed && !breaker.resume() && !breaker.wake(at: .max))
    }

    // MARK: Pauses

    private static let millisecond: UInt64 = 1_000_000

    @Test func pausesDoubleUpToTheirLimit() {
        let breaker = Tried(Self.policy(3, of: 6))
        var now: UInt64 = 5
        for pause in [100, 200, 400, 800, 1000, 1000] as [UInt64] {
            let until = breaker.died(3, at: now)
            #expect(until == now + pause * Self.millisecond)
            #expect(breaker.state == .open(until: now + pause * Self.millisecond))
            now += pause * Self.millisecond
            #expect(!breaker.wake(at: now - 1) && breaker.state == .open(until: now))
            #expect(breaker.wake(at: now) && breaker.state == .trying(accepted: 0, dead: 0))
            #expect(!breaker.wake(at: now))
        }
    }

    @Test func endlessPausesDoNotOverflow() {
        var policy = Self.policy(1, of: 1)
        (policy.pauseFirst, policy.pauseLimit) = (.seconds(86_400), .seconds(86_400))
        let breaker = Tried(policy)
        for _ in 0..<100 {
            #expect(breaker.died(3, at: 0) == 86_400_000_000_000)
            #expect(breaker.wake(at: .max))
        }
    }

    @Test func mostOfTheProbesDecide() {
        for pattern in 0..<1 << 5 {
            let breaker = Tried(Self.policy(3, of: 6))
            _ = breaker.died(3, at: 0)
            #expect(breaker.wake(at: .max))
            var (accepted, dead) = (0, 0)
            for step in 0..<5 where accepted < 3 && dead < 3 {
                if pattern >> step & 1 == 1 {
                    dead += 1
                    #expect((breaker.died(1, at: 0) != nil) == (dead == 3))
                } else {
                    accepted += 1
                    #expect(breaker.accepted(1) == (accepted == 3))
                }
            }
            #expect(breaker.isClosed == (accepted == 3))
            if dead == 3 { #expect(breaker.state == .open(until: 200 * Self.millisecond)) }
        }
    }

    /// What was in flight when it opened finishes: that is no verdict on whether it works again.
    @Test func verdictsWhilePausedDecideNothing() {
        let breaker = Tried(Self.policy(3, of: 6))
        let until = breaker.died(3, at: 0)
        for _ in 0..<10 {
            #expect(!breaker.accepted(10) && breaker.died(1, at: 50) == nil)
            #expect(breaker.state == .open(until: until ?? 0))
        }
    }

    @Test func thePauseIsShortAgainAfterItHasWorked() {
        for (worked, pause) in [(0, 200), (3, 200), (4, 100), (100, 100)] as [(Int, UInt64)] {
            let breaker = Tried(Self.policy(3, of: 6))
            _ = breaker.died(3, at: 0)
            _ = breaker.wake(at: .max)
            #expect(breaker.accepted(3) && breaker.isClosed)
            // The three that open it count, too: more than six verdicts since.
            _ = breaker.accepted(worked)
            #expect(breaker.died(3, at: 0) == pause * Self.millisecond, "after \(worked)")
        }
    }

    @Test func aPersonDecides() {
        let breaker = Tried(Self.policy(3, of: 6))
        #expect(!breaker.resume())
        for _ in 0..<2 {
            #expect(breaker.died(3, at: 0) == 100 * Self.millisecond, "its pauses begin anew")
            #expect(breaker.resume() && breaker.isClosed && breaker.finding.dead == 0)
        }
        _ = breaker.died(3, at: 0)
        _ = breaker.wake(at: .max)
        #expect(breaker.resume() && breaker.isClosed)
        // A wake-up that was armed before it.
        #expect(!breaker.wake(at: .max))
    }

    @Test func theMostFrequentReason() {
        let breaker = Tried(Self.policy(5, of: 9))
        for (number, reason) in [Code.expired, .rejected, .expired, .crashed, .expired].enumerated() {
            let error = DeliveryError(code: UInt32(1000 + number), message: "\(number)")
            _ = breaker.died(1, reason, error: error)
        }
        let finding = breaker.finding
        #expect(finding.reason == .expired && finding.most == 3 && finding.dead == 5 && finding.of == 5)
        #expect(finding.error.message == "4" && finding.frequency == "3 of them EXPIRED")
    }
}
