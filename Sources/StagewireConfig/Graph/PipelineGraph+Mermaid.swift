extension PipelineGraph {
    /// A Mermaid flowchart: sources as stadiums, transforms as boxes, sinks as cylinders, external stages dashed.
    public var mermaid: String {
        var lines = ["flowchart LR"]
        var ids: [String: String] = [:]
        for (index, node) in nodes.enumerated() {
            let id = "s\(index)"
            ids[node.name] = id
            let (open, close) = Self.brackets(node.kind)
            let style = node.workers == nil ? ":::external" : ""
            lines.append("    \(id)\(open)\"\(Self.mermaid([node.name, node.caption]))\"\(close)\(style)")
        }
        for edge in edges {
            guard let from = ids[edge.from], let to = ids[edge.to] else { continue }
            let label = edge.label.isEmpty ? "" : "|\"\(Self.mermaid(edge.label))\"|"
            lines.append("    \(from) -->\(label) \(to)")
        }
        if nodes.contains(where: { $0.workers == nil }) { lines.append("    classDef external stroke-dasharray: 5 5") }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func brackets(_ kind: Kind) -> (open: String, close: String) {
        switch kind {
        case .source: ("([", "])")
        case .transform: ("[", "]")
        case .sink: ("[(", ")]")
        }
    }

    private static func mermaid(_ lines: [String]) -> String {
        lines.map { DrawnText.escaped($0, mermaidEntity) }.joined(separator: "<br/>")
    }

    /// Labels stand in quotes, are HTML, and a backquote, an asterisk or a dollar would make Markdown or formulas of
    /// them.
    private static func mermaidEntity(_ scalar: Unicode.Scalar) -> String? {
        switch scalar {
        case "\"", "#", "$", "&", "<", ">", "`", "*", "|", "\\", ";", "{", "}", "[", "]", "(", ")": "#\(scalar.value);"
        default: nil
        }
    }
}
