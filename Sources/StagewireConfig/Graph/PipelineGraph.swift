import StagewireModel

/// A pipeline as nodes and edges, for drawing. Nodes stand in topological order.
public struct PipelineGraph: Equatable, Sendable, Encodable {
    public enum Kind: String, Sendable, CaseIterable, Encodable {
        /// Records begin here.
        case source
        case transform
        /// Nobody reads what it emits.
        case sink
    }

    /// A stage.
    public struct Node: Equatable, Sendable, Encodable {
        public var name: String
        public var kind: Kind
        /// Processes that the broker starts; absent where somebody else does.
        public var workers: Int?
    }

    /// An input of a stage; `from` and `to` are names of stages.
    public struct Edge: Equatable, Sendable, Encodable {
        public var from: String
        public var to: String
        /// Absent where the stage has one port only.
        public var port: String?
        /// The condition, as a file would write it.
        public var when: String?
        /// Absent where a full stream blocks.
        public var overflow: String?
    }

    /// The pipeline's name.
    public var pipeline: String
    public var nodes: [Node]
    /// In the order of the stages that read, and of their inputs.
    public var edges: [Edge]

    public init(_ pipeline: PipelineDefinition) {
        self.pipeline = pipeline.name
        let read = Set(pipeline.stages.flatMap { $0.inputs.map(\.stage) })
        nodes = pipeline.stages.enumerated().map { index, stage in
            let kind: Kind = stage.isSource ? .source : read.contains(index) ? .transform : .sink
            return Node(name: stage.name, kind: kind, workers: stage.launch == nil ? nil : stage.workers)
        }
        edges = pipeline.stages.flatMap { stage in
            stage.inputs.map { Self.edge(from: pipeline.stages[$0.stage], to: stage, $0) }
        }
    }

    private static func edge(from: StageDefinition, to: StageDefinition, _ input: InputDefinition) -> Edge {
        Edge(
            from: from.name, to: to.name, port: from.ports.count == 1 ? nil : from.ports[input.port],
            when: input.when?.expression, overflow: input.overflow == .block ? nil : input.overflow.rawValue)
    }
}

// MARK: Texts of the drawings

extension PipelineGraph.Node {
    /// What stands below the name.
    var caption: String {
        switch workers {
        case nil: "external"
        case 1: "1 worker"
        case .some(let count): "\(count) workers"
        }
    }
}

extension PipelineGraph.Edge {
    /// The lines at the arrow: port, condition, overflow.
    var label: [String] {
        var lines: [String] = []
        if let port { lines.append("port \(port)") }
        if let when { lines += DrawnText.wrapped("when \(when)") }
        if let overflow { lines.append(overflow) }
        return lines
    }
}

enum DrawnText {
    /// Characters of a line, and lines of one condition: beyond that a drawing is not read but looked at.
    private static let width = 36
    private static let height = 6

    /// Breaks at spaces; what does not fit ends in an ellipsis.
    static func wrapped(_ text: String) -> [String] {
        var lines: [String] = []
        for word in text.split(separator: " ", omittingEmptySubsequences: false) {
            if let last = lines.last, last.count + 1 + word.count <= width {
                lines[lines.count - 1] = last + " " + word
            } else {
                lines.append(word.count <= 2 * width ? String(word) : word.prefix(2 * width) + "…")
            }
        }
        return lines.count <= height ? lines : Array(lines.prefix(height - 1)) + ["…"]
    }

    /// `escape` replaces what the format gives a meaning; what no drawing can show is written out.
    static func escaped(_ text: String, _ escape: (Unicode.Scalar) -> String?) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            if let replacement = escape(scalar) {
                result += replacement
            } else {
                switch scalar.properties.generalCategory {
                case .control, .format, .lineSeparator, .paragraphSeparator: result += "U+" + hex(scalar)
                default: result.unicodeScalars.append(scalar)
                }
            }
        }
        return result
    }

    private static func hex(_ scalar: Unicode.Scalar) -> String {
        let digits = String(scalar.value, radix: 16, uppercase: true)
        return String(repeating: "0", count: max(0, 4 - digits.count)) + digits
    }
}
