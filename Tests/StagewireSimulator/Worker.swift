import StagewireSimulation

/// A process that runs one seed after the other, and answers each with a line.
enum Worker {
    /// `done SEED HASH number number ...`, or `failed SEED HASH faults`.
    static func run() {
        while let line = readLine(), let seed = UInt64(line) {
            let outcome = Simulation(seed: seed).run()
            let hash = String(outcome.hash, radix: 16)
            if outcome.faults.isEmpty {
                say("done \(seed) \(hash) \(outcome.statistics.numbers.map(String.init).joined(separator: " "))")
            } else {
                let faults = outcome.faults.prefix(3).map { $0.prefix(400) }.joined(separator: "; ")
                say("failed \(seed) \(hash) \(faults.replacing("\n", with: " "))")
            }
        }
    }
}

/// One seed with all that happened, line by line: the same bytes each time.
enum Trace {
    /// Returns whether nothing went wrong.
    static func run(_ seed: UInt64) -> Bool {
        let simulation = Simulation(seed: seed)
        let outcome = simulation.run(tracing: true)
        print("seed \(seed), \(simulation.variant)")
        for line in outcome.trace { print(line) }
        print(outcome.statistics.text)
        for fault in outcome.faults { print("FAULT: \(fault)") }
        print("hash \(String(outcome.hash, radix: 16))")
        return outcome.faults.isEmpty
    }
}
