import StagewireConfig
import StagewireModel
import Testing

@Suite struct GraphTests {
    @Test func fileOrderIsKeptWherePossible() throws {
        let sorted = try stages(
            """
            z: {run: [x], from: m}
            m: {run: [x], from: [s, t]}
            b: {run: [x], from: s}
            t: {run: [x], source: true}
            s: {run: [x], source: true}
            """)
        #expect(sorted.map(\.name) == ["t", "s", "m", "z", "b"])
        #expect(sorted[2].inputs.map(\.stage) == [1, 0])
    }

    /// Random graphs with names in random order: sorted if and only if a naive search finds no way back.
    @Test(arguments: 0..<200 as Range<UInt64>) func randomGraphs(_ seed: UInt64) throws {
        var random = Random(seed: seed)
        let count = Int.random(in: 2...9, using: &random)
        var edges = [[Int]](repeating: [], count: count)
        for stage in 1..<count {
            let inputs = Int.random(in: 1...min(3, count - 1), using: &random)
            let reach = random.chance(30) ? 0..<count : 0..<stage
            edges[stage] = Array(Array(reach).shuffled(using: &random).prefix(inputs))
        }
        let order = Array(0..<count).shuffled(using: &random)
        let lines = order.map { stage in
            let from = edges[stage].map { "s\($0)" }.joined(separator: ", ")
            return "s\(stage): {run: [x], " + (edges[stage].isEmpty ? "source: true}" : "from: [\(from)]}")
        }
        do {
            let sorted = try stages(lines.joined(separator: "\n"))
            #expect(!Self.hasCycle(edges), "seed \(seed)")
            for (index, stage) in sorted.enumerated() {
                #expect(stage.inputs.allSatisfy { $0.stage < index }, "seed \(seed)")
                let upstream = stage.inputs.map { sorted[$0.stage].name }
                #expect(upstream == edges[Int(stage.name.dropFirst())!].map { "s\($0)" }, "seed \(seed)")
            }
        } catch {
            #expect(Self.hasCycle(edges), "seed \(seed)")
            for cycle in error.errors { try Self.checkCycle(cycle.message, edges, seed) }
        }
    }

    static func hasCycle(_ edges: [[Int]]) -> Bool {
        edges.indices.contains { start in
            var reached: Set<Int> = []
            var queue = edges[start]
            while let stage = queue.popLast() {
                if reached.insert(stage).inserted { queue += edges[stage] }
            }
            return reached.contains(start)
        }
    }

    /// Each arrow of the sentence is an edge.
    static func checkCycle(_ message: String, _ edges: [[Int]], _ seed: UInt64) throws {
        let names = try #require(message.split(separator: ": ").last).split(separator: " ").filter { $0 != "->" }
        #expect(names.first == names.last && names.count > 1, "seed \(seed)")
        for (from, to) in zip(names, names.dropFirst()) {
            let (from, to) = (Int(from.dropFirst())!, Int(to.dropFirst())!)
            #expect(edges[to].contains(from), "seed \(seed)")
        }
    }
}
