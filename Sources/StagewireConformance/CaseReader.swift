import StagewireWire
import Yams

/// Something in a case file that cannot be used.
public struct CaseFault: Error, Equatable, Sendable, CustomStringConvertible {
    public var place: Place
    public var message: String

    public var description: String { "\(place): \(message)" }
}

/// Reads case files: YAML, one or more documents, each one case.
public struct CaseReader {
    private let file: String

    private init(file: String) { self.file = file }

    /// - Parameter file: as it is to be named in errors.
    /// - Throws: `CaseFault` at the first thing that is wrong.
    public static func read(_ text: String, file: String) throws(CaseFault) -> [Case] {
        let reader = CaseReader(file: file)
        var documents: [Node] = []
        do {
            // Not `compose_all`, whose sequence ends without a word where the text is wrong.
            let parser = try Parser(yaml: text)
            while let node = try parser.nextRoot() { documents.append(node) }
        } catch let error as YamlError {
            throw reader.fault(of: error)
        } catch {
            throw CaseFault(place: Place(file: file, line: 1, column: 1), message: "\(error)")
        }
        var cases: [Case] = []
        for document in documents { cases.append(try reader.readCase(document)) }
        return cases
    }

    private func fault(of error: YamlError) -> CaseFault {
        let start = Place(file: file, line: 1, column: 1)
        switch error {
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
            .composer(_, let problem, let mark, _):
            return CaseFault(place: Place(file: file, line: mark.line, column: mark.column), message: problem)
        case .duplicatedKeysInMapping(let keys, let context):
            let place = Place(file: file, line: context.mark.line, column: context.mark.column)
            return CaseFault(place: place, message: "a key stands twice: \(keys.joined(separator: ", "))")
        case _: return CaseFault(place: start, message: "\(error)")
        }
    }

    private func place(_ node: Node) -> Place {
        Place(file: file, line: node.mark?.line ?? 1, column: node.mark?.column ?? 1)
    }

    private func fail(_ node: Node, _ message: String) -> CaseFault { CaseFault(place: place(node), message: message) }

    // MARK: Cases

    private static let keys = [
        "case", "title", "role", "profile", "rules", "requires", "excludes", "stage", "begin", "welcome", "config",
        "environment", "pipeline", "durability", "automatic", "fragment", "checks", "steps",
    ]

    private func readCase(_ node: Node) throws(CaseFault) -> Case {
        guard let mapping = node.mapping else { throw fail(node, "a case is a mapping that begins with `case: SLUG`") }
        for (key, _) in mapping where !Self.keys.contains(key.string ?? "") {
            throw fail(key, "`\(key.string ?? "?")` is none of \(Self.keys.joined(separator: ", "))")
        }
        let slug = try text(node, "case")
        guard slug.utf8.allSatisfy({ ($0 >= 0x61 && $0 <= 0x7a) || ($0 >= 0x30 && $0 <= 0x39) || $0 == 0x2d }) else {
            throw fail(node, "`\(slug)`: a slug has lower-case letters, digits and hyphens")
        }
        let role: Role = try choice(node, "role")
        let profile: Profile = try mapping["profile"] == nil ? .core : choice(node, "profile")
        let rules = try texts(mapping["rules"])
        guard !rules.isEmpty else { throw fail(node, "a case names the rules that it checks: `rules: [CR-4]`") }
        guard let list = mapping["steps"]?.sequence, !list.isEmpty else { throw fail(node, "a case has `steps`") }
        var steps: [Step] = []
        for step in list { steps.append(try Step(try literal(step), role: role, at: place(step))) }
        return Case(
            slug: slug, title: try text(node, "title"), role: role, profile: profile, rules: rules,
            requires: try texts(mapping["requires"]), excludes: try texts(mapping["excludes"]),
            setup: try readSetup(node, profile), steps: steps, place: place(node))
    }

    private func readSetup(_ node: Node, _ profile: Profile) throws(CaseFault) -> Setup {
        let stage = try node["stage"].map { (node) throws(CaseFault) in try scalar(node) } ?? profile.stage
        let begin: Beginning = try node["begin"] == nil ? .open : choice(node, "begin")
        var environment: [String: String] = [:]
        for (key, value) in node["environment"]?.mapping ?? [:] { environment[try scalar(key)] = try scalar(value) }
        var automatic = Automatic()
        if let given = node["automatic"] { try automatic.read(literal(given), at: place(given)) }
        let welcome = try node["welcome"].map { (node) throws(CaseFault) in try literal(node) } ?? .object([])
        let config = try node["config"].map { (node) throws(CaseFault) in try literal(node) } ?? .object([])
        let pipeline: String?
        do { pipeline = try node["pipeline"].map { try Yams.serialize(node: $0) } } catch {
            throw fail(node, "the pipeline cannot be written: \(error)")
        }
        return Setup(
            stage: stage, begin: begin, welcome: welcome, config: config, environment: environment, pipeline: pipeline,
            durability: try node["durability"].map { (node) throws(CaseFault) in try scalar(node) },
            automatic: automatic, fragment: node["fragment"]?.int ?? 0, checks: node["checks"]?.bool ?? true)
    }

    // MARK: Values

    /// JSON, which is YAML as well, as cases write values.
    static func value(_ json: String, file: String) throws(CaseFault) -> FrameLiteral {
        let reader = CaseReader(file: file)
        let node: Node?
        do { node = try Yams.compose(yaml: json) } catch {
            throw CaseFault(place: Place(file: file, line: 1, column: 1), message: "not JSON: \(error)")
        }
        return try node.map { (node) throws(CaseFault) in try reader.literal(node) } ?? .null
    }

    private func texts(_ node: Node?) throws(CaseFault) -> [String] {
        guard let node else { return [] }
        if node.scalar != nil { return [try scalar(node)] }
        var texts: [String] = []
        for element in node.sequence ?? [] { texts.append(try scalar(element)) }
        return texts
    }

    private func text(_ node: Node, _ key: String) throws(CaseFault) -> String {
        guard let value = node[key] else { throw fail(node, "`\(key)` is missing") }
        return try scalar(value)
    }

    private func scalar(_ node: Node) throws(CaseFault) -> String {
        guard let text = node.scalar?.string else { throw fail(node, "a text is expected here") }
        return text
    }

    private func choice<Choice: RawRepresentable<String> & CaseIterable>(
        _ node: Node, _ key: String
    ) throws(CaseFault) -> Choice {
        let name = try text(node, key)
        guard let choice = Choice(rawValue: name) else {
            let names = Choice.allCases.map(\.rawValue).joined(separator: ", ")
            throw fail(node[key] ?? node, "`\(name)` is none of \(names)")
        }
        return choice
    }

    /// Plain scalars are read by YAML's core schema, quoted ones are text. Steps inside of a `repeat` keep their place.
    func literal(_ node: Node) throws(CaseFault) -> FrameLiteral {
        switch node {
        case .scalar(let scalar): return Self.literal(scalar)
        case .sequence(let sequence):
            var elements: [FrameLiteral] = []
            for element in sequence { elements.append(try literal(element)) }
            return .list(elements)
        case .mapping(let mapping):
            var members: [FrameLiteral.Member] = []
            for (key, value) in mapping { members.append(.init(try scalar(key), try literal(value))) }
            return .object(members)
        case .alias: throw fail(node, "anchors are not used in cases")
        }
    }

    private static func literal(_ scalar: Node.Scalar) -> FrameLiteral {
        guard scalar.style == .plain || scalar.style == .any else { return .text(scalar.string) }
        switch scalar.string {
        case "", "null", "~": return .null
        case "true": return .flag(true)
        case "false": return .flag(false)
        case let text:
            if let number = Int64(text) { return .integer(number) }
            if let number = UInt64(text) { return .unsigned(number) }
            if let first = text.utf8.first, first == 0x2d || (first >= 0x30 && first <= 0x39), !text.hasPrefix("0x"),
                let number = Double(text)
            {
                return .real(number)
            }
            return .text(text)
        }
    }
}

extension Automatic {
    /// `{credit: false}`
    mutating func read(_ literal: FrameLiteral, at place: Place) throws(CaseFault) {
        for member in literal.members {
            guard let flag = member.value.flag else {
                throw CaseFault(place: place, message: "`\(member.name)` is true or false")
            }
            switch member.name {
            case "pong": pong = flag
            case "credit": credit = flag
            case "commit": commit = flag
            case let other: throw CaseFault(place: place, message: "`\(other)` is none of pong, credit, commit")
            }
        }
    }
}

extension Profile {
    /// The stage that a worker plays for it.
    var stage: String {
        switch self {
        case .core, .reconnect, .confirm: "transform"
        case .source: "source"
        case .window: "window"
        case .ordered: "ordered"
        }
    }
}
