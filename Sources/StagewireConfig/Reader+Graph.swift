import StagewireModel

extension Reader {
    /// Resolves names, sorts the stages so that each stands after those it reads (otherwise in the order of
    /// the file), and checks that this is possible.
    mutating func graph(_ drafts: [StageDraft]) -> [StageDefinition]? {
        var indices: [String: Int] = [:]
        for (index, draft) in drafts.enumerated() { indices[draft.definition.name] = index }
        let stages = drafts.map { resolve($0, drafts, indices) }
        guard let order = sorted(stages) else {
            for cycle in cycles(stages) { report(cycle, drafts) }
            return nil
        }
        var newIndex = [Int](repeating: 0, count: stages.count)
        for (new, old) in order.enumerated() { newIndex[old] = new }
        let sorted = order.map { old in
            var stage = stages[old]
            for index in stage.inputs.indices { stage.inputs[index].stage = newIndex[stage.inputs[index].stage] }
            return stage
        }
        checkDepth(sorted, at: order.map { drafts[$0].position })
        return sorted
    }

    /// The stage with its inputs by index into `drafts`; inputs that name nothing are reported and left out.
    private mutating func resolve(
        _ draft: StageDraft, _ drafts: [StageDraft], _ indices: [String: Int]
    ) -> StageDefinition {
        var stage = draft.definition
        for input in draft.inputs {
            guard let index = indices[input.stage.content] else {
                let names = drafts.map(\.definition.name)
                report(
                    input.stage.position, "`from`: there is no stage \(quoted(input.stage.content))",
                    hint: suggestion(for: input.stage.content, in: names) ?? "the stages are \(listing(names))")
                continue
            }
            guard let port = port(of: input, at: drafts[index]) else { continue }
            if stage.inputs.contains(where: { $0.stage == index && $0.port == port }) {
                report(
                    input.stage.position, "`from`: \(quoted(input.stage.content)) stands twice with the same port",
                    hint: "write one input; join two conditions with `or`")
                continue
            }
            stage.inputs.append(
                InputDefinition(stage: index, port: port, when: input.when, overflow: input.overflow ?? .block))
        }
        return stage
    }

    /// The first port where none is named.
    private mutating func port(of input: InputDraft, at draft: StageDraft) -> Int? {
        guard let (name, position) = input.port.map({ ($0.content, $0.position) }) else { return 0 }
        let ports = draft.definition.ports
        if let port = ports.firstIndex(of: name) { return port }
        // A stage that could not be read may have this port.
        guard draft.isComplete else { return nil }
        report(
            position, "`from`: stage \(quoted(input.stage.content)) has no port \(quoted(name))",
            hint: suggestion(for: name, in: ports) ?? "its ports are \(listing(ports))")
        return nil
    }

    private func listing(_ names: [String]) -> String {
        let shown = names.prefix(12).map(quoted).joined(separator: ", ")
        return names.count > 12 ? "\(shown) and \(names.count - 12) more" : shown
    }

    /// Kahn 1962, always taking the first stage of the file that is free. `nil` if there is a cycle.
    private func sorted(_ stages: [StageDefinition]) -> [Int]? {
        var missing = stages.map(\.inputs.count)
        // A stage that reads two ports of another stands there twice, as it does in `missing`.
        var readers = [[Int]](repeating: [], count: stages.count)
        for (index, stage) in stages.enumerated() {
            for input in stage.inputs { readers[input.stage].append(index) }
        }
        var isPlaced = [Bool](repeating: false, count: stages.count)
        var order: [Int] = []
        while let next = stages.indices.first(where: { !isPlaced[$0] && missing[$0] == 0 }) {
            isPlaced[next] = true
            order.append(next)
            for index in readers[next] { missing[index] -= 1 }
        }
        return order.count == stages.count ? order : nil
    }

    /// At least one cycle, each as indices in the direction of the records. Stages that do not lie behind a
    /// cycle are peeled off; every other one then has an input that is left too, and following those must come back.
    private func cycles(_ stages: [StageDefinition]) -> [[Int]] {
        var isLeft = [Bool](repeating: true, count: stages.count)
        while let free = stages.indices.first(where: { index in
            isLeft[index] && !stages[index].inputs.contains { isLeft[$0.stage] }
        }) {
            isLeft[free] = false
        }
        var walk = [Int?](repeating: nil, count: stages.count)
        var cycles: [[Int]] = []
        for start in stages.indices where isLeft[start] && walk[start] == nil {
            var path: [Int] = []
            var index = start
            while walk[index] == nil {
                walk[index] = start
                path.append(index)
                guard let upstream = stages[index].inputs.first(where: { isLeft[$0.stage] }) else { break }
                index = upstream.stage
            }
            guard walk[index] == start, let first = path.firstIndex(of: index) else { continue }
            cycles.append(path[first...].reversed())
        }
        return cycles
    }

    private mutating func report(_ cycle: [Int], _ drafts: [StageDraft]) {
        // Begin with the stage that stands first in the file.
        guard let top = cycle.min(), let offset = cycle.firstIndex(of: top) else { return }
        let turned = cycle[offset...] + cycle[..<offset] + [top]
        let names = turned.map { drafts[$0].definition.name }
        let text = names.count <= 12 ? names : Array(names.prefix(10)) + ["…", names[names.count - 1]]
        let upstream = drafts[cycle[(offset + cycle.count - 1) % cycle.count]].definition.name
        let position = drafts[top].inputs.first { $0.stage.content == upstream }?.stage.position ?? drafts[top].position
        report(
            position, "the stages form a cycle: \(text.joined(separator: " -> "))",
            hint: "records flow one way; take one of these stages out of the `from` of the next")
    }

    /// Each stage on the way adds a hop to a record's lineage, and lineage is bounded.
    private mutating func checkDepth(_ stages: [StageDefinition], at positions: [Position]) {
        let depths = PipelineDefinition(name: "", stages: stages).depths()
        guard let index = depths.firstIndex(where: { $0 > Limits.depth }) else { return }
        report(
            positions[index], "stage \(quoted(stages[index].name)) is number \(depths[index]) on its way from a source",
            hint: "a record passes at most \(Limits.depth) stages: join some of them")
    }
}
