extension PipelineGraph {
    /// A Graphviz digraph, drawn from left to right: sources rounded, transforms as boxes, sinks as cylinders,
    /// external stages dashed.
    public var dot: String {
        var lines = [
            "digraph \(Self.dot([pipeline])) {",
            "    rankdir=LR",
            "    graph [fontname=\"Helvetica\", nodesep=0.4, ranksep=0.7]",
            "    node [fontname=\"Helvetica\", fontsize=12, margin=\"0.2,0.1\", color=\"#4a5568\"]",
            "    edge [fontname=\"Helvetica\", fontsize=10, color=\"#4a5568\", fontcolor=\"#4a5568\"]",
        ]
        lines += nodes.map { node in
            let label = Self.dot([node.name, node.caption])
            return
                "    \(Self.dot([node.name])) [label=\(label), \(Self.look(node.kind, isExternal: node.workers == nil))]"
        }
        lines += edges.map { edge in
            // A space on either side keeps the text off the line.
            let label = edge.label.isEmpty ? "" : " [label=\(Self.dot(edge.label.map { " \($0) " }))]"
            return "    \(Self.dot([edge.from])) -> \(Self.dot([edge.to]))\(label)"
        }
        return (lines + ["}"]).joined(separator: "\n") + "\n"
    }

    private static func look(_ kind: Kind, isExternal: Bool) -> String {
        let (shape, fill, style) =
            switch kind {
            case .source: ("box", "#e6f4ea", ["rounded", "filled"])
            case .transform: ("box", "#e8f0fe", ["filled"])
            case .sink: ("cylinder", "#fef7e0", ["filled"])
            }
        let styles = (style + (isExternal ? ["dashed"] : [])).joined(separator: ",")
        return "shape=\(shape), style=\"\(styles)\", fillcolor=\"\(fill)\""
    }

    /// A quoted string of the language: quotes and backslashes escaped, lines centred. Every name is quoted, for
    /// `node` or `a.b` would otherwise mean something.
    private static func dot(_ lines: [String]) -> String {
        let texts = lines.map { line in
            DrawnText.escaped(line) { scalar in
                switch scalar {
                case "\"": "\\\""
                case "\\": "\\\\"
                // Entities are replaced everywhere, HTML or not.
                case "&": "&amp;"
                default: nil
                }
            }
        }
        return "\"" + texts.joined(separator: "\\n") + "\""
    }
}
