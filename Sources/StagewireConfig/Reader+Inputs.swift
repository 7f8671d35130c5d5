import StagewireModel

extension Reader {
    /// `from`, `source` and `overflow`: where a stage's records come from.
    mutating func readInputs(_ fields: Fields, _ what: String, _ draft: inout StageDraft) {
        let isSource = fields[StageKeys.source] == nil ? false : read(StageKeys.source, in: fields)
        draft.definition.isSource = isSource ?? false
        let overflow = read(StageKeys.overflow, in: fields) ?? .block
        draft.inputs = read(StageKeys.from, in: fields) ?? []
        for index in draft.inputs.indices where draft.inputs[index].overflow == nil {
            draft.inputs[index].overflow = overflow
        }
        guard let isSource else { return }
        if isSource {
            refuse(StageKeys.deliveryKeys, fields) {
                "\(what) is a source: nothing is delivered to it, so `\($0)` means nothing"
            }
            draft.inputs = []
        } else if fields[StageKeys.from] == nil {
            report(
                draft.position, "\(what) reads nothing",
                hint: "add `from: <stage>`, or `source: true` if records begin here")
        }
    }

    mutating func input(_ fields: Fields) -> InputDraft? {
        let when = read(InputKeys.when, in: fields)
        let overflow = read(InputKeys.overflow, in: fields)
        guard fields[InputKeys.stage] != nil else {
            report(fields.position, "`from` names no stage", hint: "add `stage: <name>`")
            return nil
        }
        guard let stage = read(InputKeys.stage, in: fields) else { return nil }
        return InputDraft(stage: stage, port: read(InputKeys.port, in: fields), when: when, overflow: overflow)
    }
}
