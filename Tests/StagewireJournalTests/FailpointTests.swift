import StagewireDiskSimulation
import StagewireJournal
import StagewireTestSupport
import Testing

/// Every call of the journal to its disk, in a run that uses all of it, goes wrong in every way; after each, what was confirmed is
/// there, nothing else is, and the journal goes on.
struct FailpointTests {
    static let scripts: [UInt64] = [1, 2]

    private func play(script: UInt64, fault: (Int, MemoryDisk.Fault)?, _ crash: MemoryDisk.Crash) -> Rig {
        let rig = Rig(seed: script) { _ in crash }
        if let fault { rig.disk.faults[fault.0] = fault.1 }
        rig.open()
        for _ in 0..<30 { rig.step() }
        rig.finish(.power(seed: script))
        return rig
    }

    @Test(arguments: scripts)
    func everyCallInEveryWay(script: UInt64) {
        let calm = Rig(seed: script) { _ in .process }
        calm.open()
        for _ in 0..<30 { calm.step() }
        let calls = calm.disk.calls
        #expect(calm.problems == [] && calm.restarts == 0)
        var runs = 0
        for call in calls.indices {
            for fault in MemoryDisk.Fault.allCases where applies(fault, to: calls[call]) {
                var crashes: [MemoryDisk.Crash] = [.process]
                if fault != .full && fault != .short { crashes += (1...2).map { .power(seed: $0 &* UInt64(call + 7)) } }
                for crash in crashes {
                    let rig = play(script: script, fault: (call, fault), crash)
                    runs += 1
                    if !rig.problems.isEmpty {
                        Issue.record("script \(script), call \(call) (\(calls[call])) \(fault), \(crash): \(rig.problems)")
                        return
                    }
                }
            }
        }
        print("failpoints: script \(script), \(calls.count) calls, \(runs) runs")
    }

    /// The scripts reach every kind of call; otherwise the test above proves less than it says.
    @Test func allKindsOfCalls() {
        var seen: Set<DiskOperation> = []
        for script in Self.scripts {
            let rig = Rig(seed: script) { _ in .process }
            rig.open()
            for _ in 0..<30 { rig.step() }
            seen.formUnion(rig.disk.calls)
        }
        // Free space is for people, the journal does not ask for it.
        #expect(seen == Set(DiskOperation.allCases).subtracting([.freeBytes]))
    }

    private func applies(_ fault: MemoryDisk.Fault, to call: DiskOperation) -> Bool {
        switch fault {
        case .fails, .crashBefore, .crashAfter: true
        case .full: [.create, .write, .preallocate, .rename, .lock].contains(call)
        case .short: [.read, .write].contains(call)
        case .crashHalfway: call == .write
        }
    }
}

/// Random use, random faults, and the power goes again and again.
struct PowerLossTests {
    static let seeds = 3000

    @Test func seeds() {
        var restarts = 0
        var unfinished = 0
        for seed in 1...UInt64(Self.seeds) {
            let rig = Rig(seed: seed, segmentBytes: seed % 3 == 0 ? 4096 : 1024) { random in
                Int.random(in: 0..<4, using: &random) == 0 ? .process : .power(seed: random.next())
            }
            var random = SplitMix64(seed: seed ^ 0xabcd)
            rig.open()
            for _ in 0..<4 {
                let fault = MemoryDisk.Fault.allCases.randomElement(using: &random)
                rig.disk.faults[rig.disk.calls.count + Int.random(in: 0..<40, using: &random)] = fault
                for _ in 0..<12 { rig.step() }
                if Bool.random(using: &random) { rig.kill(.power(seed: random.next())) }
            }
            rig.finish(.power(seed: seed))
            restarts += rig.restarts
            unfinished += rig.unfinished
            if !rig.problems.isEmpty {
                Issue.record("seed \(seed): \(rig.problems)")
                return
            }
        }
        print("power loss: \(Self.seeds) seeds, \(restarts) restarts, \(unfinished) unfinished writes cleared")
        #expect(restarts > Self.seeds && unfinished > Self.seeds / 20)
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
