import StagewireConfig
import StagewireModel

/// What `check` says about a pipeline that is right.
struct CheckReport: Encodable {
    struct Stage: Encodable {
        var name: String
        var kind: PipelineGraph.Kind
        /// Processes that the broker starts; absent where somebody else does.
        var workers: Int?
        var maxWorkers: Int
        var command: [String]?
    }

    struct Memory: Encodable {
        struct Line: Encodable {
            var item: String
            /// Empty: the broker itself.
            var owner: String
            var bytes: Int
            var reason: String
        }

        var lines: [Line]
        /// Bytes in all.
        var total: Int
    }

    var pipeline: String
    var durability: String
    var stages: [Stage]
    var edges: [PipelineGraph.Edge]
    var budget: Memory

    init(_ pipeline: PipelineDefinition) {
        let graph = PipelineGraph(pipeline)
        self.pipeline = pipeline.name
        durability = pipeline.durability.rawValue
        edges = graph.edges
        stages = zip(graph.nodes, pipeline.stages).map { node, stage in
            Stage(
                name: node.name, kind: node.kind, workers: node.workers, maxWorkers: stage.maxWorkers,
                command: stage.launch?.command)
        }
        let budget = Budget(pipeline)
        self.budget = Memory(
            lines: budget.lines.map {
                Memory.Line(item: $0.item.rawValue, owner: $0.owner, bytes: $0.bytes, reason: $0.reason)
            }, total: budget.total)
    }

    // MARK: For people

    static func text(_ pipeline: PipelineDefinition, file: String) -> String {
        let graph = PipelineGraph(pipeline)
        let stages = pipeline.stages.count
        return """
            \(file): pipeline \(pipeline.name) is right: \(stages) \(stages == 1 ? "stage" : "stages"), \
            durability \(pipeline.durability.rawValue)

            \(lines(of: graph).joined(separator: "\n"))

            Memory of the broker, at most:

            \(Budget(pipeline).table)
            """
    }

    /// `  score  transform  1 worker   < normalise when ...`, a line for each stage and further input.
    private static func lines(of graph: PipelineGraph) -> [String] {
        let names = graph.nodes.map(\.name.count).max() ?? 0
        return graph.nodes.flatMap { node in
            let workers = node.workers.map { "\($0) \($0 == 1 ? "worker" : "workers")" } ?? "external"
            let head =
                "  " + padded(node.name, to: names) + "  " + padded(node.kind.rawValue, to: 9) + "  "
                + padded(workers, to: 12)
            let inputs = graph.edges.filter { $0.to == node.name }.map(text)
            let tails = inputs.isEmpty ? [""] : inputs.map { "  < " + $0 }
            return tails.enumerated().map { index, tail in
                let start = index == 0 ? head : String(repeating: " ", count: head.count)
                return String((start + tail).reversed().drop { $0 == " " }.reversed())
            }
        }
    }

    private static func text(_ edge: PipelineGraph.Edge) -> String {
        let from = edge.port.map { "\(edge.from).\($0)" } ?? edge.from
        return from + (edge.when.map { " when \($0)" } ?? "") + (edge.overflow.map { " (\($0))" } ?? "")
    }

    private static func padded(_ text: String, to width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }
}
