import Foundation
import StagewireSimulation
import Synchronization

/// Many seeds, over several processes.
final class Campaign: Sendable {
    private struct State {
        /// Given out next, the last one first.
        var others: [UInt64]
        var next: UInt64
        let end: UInt64
        var done = 0
        var failed: [UInt64] = []
        var statistics = SimulationStatistics()
        var hash: UInt64 = 0

        mutating func take() -> UInt64? {
            if let other = others.popLast() { return other }
            guard next < end else { return nil }
            defer { next += 1 }
            return next
        }
    }

    private let state: Mutex<State>
    private let total: Int
    private let processes: Int
    private let started = ContinuousClock.now

    init(_ arguments: Arguments) {
        let others = arguments.file.map(Self.seeds) ?? []
        total = others.count + Int(arguments.count)
        processes = arguments.processes ?? ProcessInfo.processInfo.activeProcessorCount
        state = Mutex(State(others: others, next: arguments.first, end: arguments.first + arguments.count))
        say(
            "\(arguments.count) seeds from \(arguments.first) on"
                + (others.isEmpty ? "" : " and \(others.count) that are tried each time")
                + ", \(Variant.allCases.count) variants, \(processes) processes")
    }

    private static func seeds(of path: String) -> [UInt64] {
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
            say("cannot read \(path)")
            exit(2)
        }
        return text.split(separator: "\n").compactMap { line in
            UInt64(line.prefix { $0 != "#" }.trimmingCharacters(in: .whitespaces))
        }
    }

    /// Returns whether nothing went wrong.
    func run() -> Bool {
        DispatchQueue.concurrentPerform(iterations: processes) { _ in work() }
        return state.withLock { state in
            say(state.statistics.text)
            // Of all seeds, in whatever order they came.
            say("hash \(String(state.hash, radix: 16))")
            say("\(state.done) seeds, \(state.failed.count) failed")
            return state.failed.isEmpty
        }
    }

    private func work() {
        var child: SeedProcess?
        while let seed = state.withLock({ $0.take() }) {
            if child == nil { child = SeedProcess() }
            switch child!.run(seed) {
            case .done(let hash, let numbers): finish(seed, hash, numbers: numbers, fault: nil)
            case .failed(let hash, let faults): finish(seed, hash, numbers: [], fault: faults)
            case .gone(let how):
                child = nil
                finish(seed, 0, numbers: [], fault: how)
            }
        }
        child?.end()
    }

    private func finish(_ seed: UInt64, _ hash: UInt64, numbers: [Int], fault: String?) {
        state.withLock { state in
            state.done += 1
            state.hash ^= hash &* (seed | 1)
            if let fault {
                state.failed.append(seed)
                say(
                    "seed \(seed), \(Variant(of: seed)): \(fault)\n  replay: make sim FIRST=\(seed) SEEDS=1, all of it: make sim TRACE=\(seed)"
                )
            } else {
                var statistics = SimulationStatistics()
                statistics.numbers = numbers
                state.statistics.add(statistics)
            }
            let step = max(100, total / 20)
            guard state.done % step == 0, state.done < total else { return }
            say(
                "\(state.done) of \(total) after \(started.duration(to: .now).components.seconds) s, \(state.failed.count) failed"
            )
        }
    }
}
