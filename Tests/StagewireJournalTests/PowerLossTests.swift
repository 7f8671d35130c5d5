import Foundation
import StagewireDiskSimulation
import StagewireJournal
import StagewireTestSupport
import Testing

/// Random use, random faults, and the power goes again and again. `STAGEWIRE_SEEDS` is how many seeds are tried, `STAGEWIRE_SEED` one
/// of them.
struct PowerLossTests {
    static let seeds: ClosedRange<UInt64> = {
        let environment = ProcessInfo.processInfo.environment
        if let seed = environment["STAGEWIRE_SEED"].flatMap({ UInt64($0) }) { return seed...seed }
        return 1...(environment["STAGEWIRE_SEEDS"].flatMap { UInt64($0) } ?? 2000)
    }()

    @Test func everySeed() {
        var restarts = 0
        var unfinished = 0
        var reuses = 0
        for seed in Self.seeds {
            let rig = play(seed)
            restarts += rig.restarts
            unfinished += rig.unfinished
            reuses += rig.reuses
            if !rig.problems.isEmpty {
                Issue.record("seed \(seed): \(rig.problems)")
                return
            }
        }
        print(
            "power loss: \(Self.seeds.count) seeds, \(restarts) restarts, \(unfinished) unfinished writes cleared, "
                + "\(reuses) flushes beside segments that were used again")
        guard Self.seeds.count > 100 else { return }
        // Otherwise nothing was proven.
        #expect(restarts > Self.seeds.count && unfinished > Self.seeds.count / 5 && reuses > Self.seeds.count)
    }

    private func play(_ seed: UInt64) -> Rig {
        let rig = Rig(seed: seed, segmentBytes: seed % 3 == 0 ? 4096 : 1024) { random in
            Int.random(in: 0..<4, using: &random) == 0 ? .process : .power(seed: random.next())
        }
        var random = SplitMix64(seed: seed ^ 0xabcd)
        rig.open()
        for _ in 0..<4 {
            let fault = MemoryDisk.Fault.allCases.randomElement(using: &random)
            rig.disk.faults[rig.disk.calls.count + Int.random(in: 0..<40, using: &random)] = fault
            for _ in 0..<12 { rig.step() }
            if Bool.random(using: &random) {
                // In the middle of a flush, of which any sectors may have been written.
                for _ in 0..<4 { rig.append() }
                // The first sync may be that of a new segment's header.
                let fault = [MemoryDisk.Fault.crashBefore, .fails, .crashAfter].randomElement(using: &random)!
                rig.disk.nextFault = (.sync, Int.random(in: 0...1, using: &random), fault)
                rig.flush()
            } else if Bool.random(using: &random) {
                rig.kill(.power(seed: random.next()))
            }
        }
        rig.finish(.power(seed: seed))
        return rig
    }
}

/// Long random use without faults, on a disk that is sometimes full.
struct ModelTests {
    @Test(arguments: 1...20 as ClosedRange<UInt64>)
    func randomUse(seed: UInt64) {
        let rig = Rig(seed: seed, segmentBytes: [512, 2048, 16384][Int(seed % 3)]) { _ in .process }
        rig.open()
        for _ in 0..<400 { rig.step() }
        rig.finish(.power(seed: seed))
        #expect(rig.problems == [], "seed \(seed)")
        #expect(rig.restarts == 0)
    }
}
