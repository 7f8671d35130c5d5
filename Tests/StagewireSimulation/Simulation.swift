/// One seed, from the beginning to the end.
package struct Simulation {
    package struct Outcome {
        /// What went wrong; empty: nothing.
        package var faults: [String]
        package var statistics: SimulationStatistics
        /// Over everything that happened.
        package var hash: UInt64
        /// If it was asked for.
        package var trace: [String]
    }

    package let seed: UInt64
    package var variant: Variant { Variant(of: seed) }

    package init(seed: UInt64) { self.seed = seed }

    package func run(tracing: Bool = false) -> Outcome {
        let chaos = Chaos(seed: seed, variant.options(seed))
        chaos.rig.keepsLines = tracing
        let faults = chaos.run()
        return Outcome(
            faults: faults, statistics: chaos.rig.journal?.statistics ?? SimulationStatistics(), hash: chaos.rig.hash,
            trace: chaos.rig.takeLines())
    }
}

/// What happened in a run: a simulation in which nothing happens proves nothing.
package struct SimulationStatistics: Sendable {
    /// Of the broker, after the first.
    package var starts = 0
    package var flushes = 0
    /// Entries that were being written when the broker ended, and were there afterwards.
    package var survivors = 0
    /// Writes that were cut short.
    package var unfinished = 0
    /// Times without room.
    package var full = 0
    /// Brokers that ended because the disk failed.
    package var failures = 0
    package var snapshots = 0
    /// Segments.
    package var retired = 0
    /// Times that records were read back.
    package var readings = 0
    package var replays = 0

    package init() {}

    private static var fields: [(name: String, path: WritableKeyPath<SimulationStatistics, Int>)] {
        [
            ("starts", \.starts), ("flushes", \.flushes), ("snapshots", \.snapshots), ("segments retired", \.retired),
            ("readings", \.readings), ("replays", \.replays),
            ("disk failures", \.failures), ("times full", \.full),
            ("writes cut short", \.unfinished), ("entries that survived", \.survivors),
        ]
    }

    /// In the order in which `text` has them.
    package var numbers: [Int] {
        get { Self.fields.map { self[keyPath: $0.path] } }
        set { for (field, number) in zip(Self.fields, newValue) { self[keyPath: field.path] = number } }
    }

    package mutating func add(_ other: SimulationStatistics) { numbers = zip(numbers, other.numbers).map(+) }

    package var text: String { zip(numbers, Self.fields).map { "\($0) \($1.name)" }.joined(separator: ", ") }
}
