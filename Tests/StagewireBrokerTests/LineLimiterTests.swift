import Testing

@testable import StagewireBroker

@Suite struct LineLimiterTests {
    @Test func countsWhatItDrops() {
        var limiter = LineLimiter(rate: 2)
        let second: UInt64 = 1_000_000_000
        let shown = (0..<5).map { limiter.admit(at: 7 * second + $0).isShown }
        #expect(shown == [true, true, false, false, false])
        let next = limiter.admit(at: 8 * second)
        #expect(next.isShown && next.droppedBefore == 3)
        #expect(limiter.admit(at: 8 * second + 1).droppedBefore == 0)
        #expect(limiter.takeDropped() == 0)
    }
}
