import StagewireWire

/// One thing that the suite does or waits for. What the argument has to be is said in conformance/CASES.md.
public struct Step: Sendable {
    public var verb: Verb
    public var argument: FrameLiteral
    /// The connection that it is about; `w` unless the step says another.
    public var link: String
    /// In place of the case's rules, where it fails.
    public var rules: [String]
    public var why: String?
    /// Milliseconds that it may take, before `--time-scale`.
    public var within: Int?
    public var place: Place

    private static let modifiers = ["on", "rule", "why", "within"]

    /// - Parameter literal: `VERB`, or a mapping of one verb to its argument, with modifiers.
    init(_ literal: FrameLiteral, role: Role, at place: Place) throws(CaseFault) {
        let members = literal.text.map { [FrameLiteral.Member($0, .null)] } ?? literal.members
        let verbs = members.filter { !Self.modifiers.contains($0.name) }
        guard verbs.count == 1, let named = verbs.first else {
            let allowed = Self.modifiers.joined(separator: ", ")
            throw CaseFault(place: place, message: "a step is `VERB: ARGUMENT`, and may have \(allowed)")
        }
        guard let verb = Verb(rawValue: named.name) else {
            let all = Verb.allCases.map(\.rawValue).joined(separator: ", ")
            throw CaseFault(place: place, message: "`\(named.name)` is no verb; there are \(all)")
        }
        guard verb.role == nil || verb.role == role else {
            throw CaseFault(place: place, message: "`\(verb.rawValue)` is not for cases with `role: \(role.rawValue)`")
        }
        self.verb = verb
        argument = named.value
        self.place = place
        link = literal["on"]?.text ?? "w"
        rules = literal["rule"]?.elements.compactMap(\.text) ?? []
        why = literal["why"]?.text
        within = literal["within"]?.number.map(Int.init)
        do { try check(role) } catch let fault as CaseFault { throw fault } catch {
            let fault = error as? FrameForge.Fault ?? .init(path: "", message: "\(error)")
            let path = fault.path.isEmpty ? "" : "\(fault.path): "
            throw CaseFault(place: place, message: "\(verb.rawValue): \(path)\(fault.message)")
        }
    }

    /// What can be known to be wrong before anything runs: names of kinds and fields, bytes, inner steps.
    private func check(_ role: Role) throws {
        switch verb {
        case .send: for message in argument.elements { _ = try FrameForge.envelope(message) }
        case .raw: _ = try RawBytes.bytes(argument)
        case .expect, .absent, .skip: try Pattern.check(argument)
        case .repeat: _ = try inner(role)
        case _: break
        }
    }

    /// The steps of a `repeat`.
    func inner(_ role: Role) throws(CaseFault) -> [Step] {
        guard let steps = argument["steps"]?.elements, argument["times"]?.number != nil else {
            throw CaseFault(place: place, message: "write it as {times: 3, steps: [...]}")
        }
        var list: [Step] = []
        for step in steps { list.append(try Step(step, role: role, at: place)) }
        return list
    }
}
