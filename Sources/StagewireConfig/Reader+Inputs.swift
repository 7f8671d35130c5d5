import StagewireModel

extension Reader {
    /// `from`, `source` and `overflow`: where a stage's records come from.
    mutating func readInputs(_ fields: Fields, _ what: String, _ draft: inout StageDraft) {
        let isSource = fields["source"].map { flag($0, "`source`") } ?? false
        draft.definition.isSource = isSource ?? false
        let overflow = fields["overflow"].flatMap { choice($0, "`overflow`") as Overflow? } ?? .block
        if let value = fields["from"] { draft.inputs = inputs(value, overflow: overflow) }
        guard let isSource else { return }
        if isSource {
            let inapplicable = ["from", "ordering", "overflow", "retry", "lease", "crash_limit"]
            refuse(inapplicable, fields) { "\(what) is a source: nothing is delivered to it, so `\($0)` means nothing" }
            draft.inputs = []
        } else if fields["from"] == nil {
            report(
                draft.position, "\(what) reads nothing",
                hint: "add `from: <stage>`, or `source: true` if records begin here")
        }
    }

    private mutating func inputs(_ value: Value, overflow: Overflow) -> [InputDraft] {
        guard case .sequence = value.content else {
            return input(value, overflow: overflow).map { [$0] } ?? []
        }
        guard let values = list(value, "`from`", of: "stages") else { return [] }
        guard values.count <= ConfigurationLimits.inputs else {
            report(value.position, "`from`: at most \(ConfigurationLimits.inputs) inputs, found \(values.count)")
            return []
        }
        return values.compactMap { input($0, overflow: overflow) }
    }

    private mutating func input(_ value: Value, overflow: Overflow) -> InputDraft? {
        guard case .mapping = value.content else {
            let expected = "a stage's name, `{stage: <name>, …}` or a list of these"
            guard let stage = text(value, "`from`", expected: expected) else { return nil }
            return InputDraft(
                stage: stage, stagePosition: value.position, portPosition: value.position, overflow: overflow)
        }
        guard let fields = fields(value, "`from`", known: ["stage", "port", "when", "overflow"]) else { return nil }
        let when = fields["when"].flatMap { predicate($0) }
        let own = fields["overflow"].flatMap { choice($0, "`overflow`") as Overflow? }
        guard let stageValue = fields["stage"] else {
            report(value.position, "`from` names no stage", hint: "add `stage: <name>`")
            return nil
        }
        guard let stage = text(stageValue, "`stage`", expected: "a stage's name") else { return nil }
        let portValue = fields["port"]
        let port = portValue.flatMap { text($0, "`port`", expected: "a port's name") }
        return InputDraft(
            stage: stage, stagePosition: stageValue.position, port: port,
            portPosition: portValue?.position ?? stageValue.position, when: when, overflow: own ?? overflow)
    }

    private mutating func predicate(_ value: Value) -> Predicate? {
        guard let scalar = value.scalar, let text = text(value, "`when`", expected: "an expression") else {
            if value.scalar == nil { mismatch(value, "`when`", expected: "an expression such as 'level == \"high\"'") }
            return nil
        }
        do {
            return try Predicate(parsing: text)
        } catch {
            let position = source.position(of: error.offset, in: scalar, at: value.position)
            report(position, "`when`: \(error.message)", hint: error.hint)
            return nil
        }
    }
}
