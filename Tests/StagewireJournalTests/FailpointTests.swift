import StagewireDiskSimulation
import StagewireJournal
import StagewireTestSupport
import Testing

/// Every call of the journal to its disk, in a run that uses all of it, goes wrong in every way; after each, what was confirmed is
/// there, nothing else is, and the journal goes on.
struct FailpointTests {
    static let scripts: [UInt64] = [1, 2, 27, 64]

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
                        Issue.record(
                            "script \(script), call \(call) (\(calls[call])) \(fault), \(crash): \(rig.problems)")
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
        var reuses = 0
        for script in Self.scripts {
            let rig = Rig(seed: script) { _ in .process }
            rig.open()
            for _ in 0..<30 { rig.step() }
            seen.formUnion(rig.disk.calls)
            reuses += rig.reuses
        }
        // Free space is for people, the journal does not ask for it.
        #expect(seen == Set(DiskOperation.allCases).subtracting([.freeBytes]))
        #expect(reuses > 0, "a segment is used again")
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
