import ArgumentParser
import Foundation
import StagewireConformance

struct ConformanceList: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List the suite's cases.",
        discussion: """
            EXAMPLES:
              stagewire conformance list --role worker --profile source
              stagewire conformance list --filter CR-4 --json
            """)

    @Option(help: ArgumentHelp("Only cases of these profiles, such as core,source.", valueName: "names"))
    var profile: [String] = []

    @Option(help: ArgumentHelp("Only cases for a worker, or for a broker.", valueName: "worker|broker"))
    var role: String?

    @Option(help: ArgumentHelp("Only cases with this in their name, or of this rule.", valueName: "text"))
    var filter: [String] = []

    @Flag(help: "Print the pipeline that a running broker must have to be tested at its socket.")
    var pipeline = false

    @Flag(help: "Print the result as JSON.")
    var json = false

    struct Item: Encodable {
        var name: String
        var title: String
        var role: String
        var profile: String
        var rules: [String]
        var requires: [String]
        var file: String
        var line: Int
    }

    func run() throws {
        if pipeline { return Output.text(Suite.brokerPipeline) }
        let suite = try ConformanceFiles.suite()
        var profiles = try ProfileSelection.profiles(profile)
        if profiles.isEmpty { profiles = Set(Profile.allCases) }
        let roles = try roles()
        let cases = roles.flatMap { suite.selected(role: $0, profiles: profiles, filters: filter) }
        if json {
            return Output.json(
                "conformance list",
                cases.map {
                    Item(
                        name: $0.slug, title: $0.title, role: $0.role.rawValue, profile: $0.profile.rawValue,
                        rules: $0.rules, requires: $0.requires, file: $0.place.file, line: $0.place.line)
                })
        }
        for item in cases {
            let kind = "\(item.role.rawValue) \(item.profile.rawValue)".padding(
                toLength: 17, withPad: " ", startingAt: 0)
            Output.text("\(kind) \(item.slug): \(item.title) [\(item.rules.joined(separator: ", "))]")
        }
        Output.text("\(cases.count) cases")
    }

    private func roles() throws -> [Role] {
        guard let role else { return [.worker, .broker] }
        guard let known = Role(rawValue: role) else {
            throw Failure(.usage, "--role is worker or broker, not `\(role)`", code: "usage")
        }
        return [known]
    }
}

struct ConformanceExplain: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain",
        abstract: "Print a rule's text and the cases that check it, or what a case does.",
        discussion: """
            EXAMPLES:
              stagewire conformance explain CR-4
              stagewire conformance explain credit-is-absolute
            """)

    @Argument(help: ArgumentHelp("A case's name, or a rule's id such as CR-4.", valueName: "case|rule"))
    var name: String

    func run() throws {
        let suite = try ConformanceFiles.suite()
        let rules = try ConformanceFiles.rules()
        if let item = suite.cases.first(where: { $0.slug == name }) { return try explain(item, rules) }
        guard let text = rules[name] else {
            throw Failure(
                .usage, "there is no case and no rule `\(name)`",
                hint: "`stagewire conformance list` names the cases, docs/PROTOCOL.md the rules", code: "usage")
        }
        Output.text("\(name)  \(text)\n")
        let cases = suite.cases.filter { $0.rules.contains(name) }
        for item in cases { Output.text("\(item.role.rawValue)  \(item.slug): \(item.title)") }
        if cases.isEmpty { Output.text("No case names this rule; conformance/rules.yaml says why.") }
    }

    private func explain(_ item: Case, _ rules: RuleBook) throws {
        Output.text("\(item.slug): \(item.title)")
        Output.text("\(item.role.rawValue), profile \(item.profile.rawValue), \(item.place.file):\(item.place.line)\n")
        for rule in item.rules { Output.text("\(rule)  \(rules[rule] ?? "(not in PROTOCOL.md)")\n") }
        let source = try String(contentsOfFile: item.place.file, encoding: .utf8)
        Output.text(Self.document(of: item, in: source))
    }

    /// The case's own YAML.
    private static func document(of item: Case, in source: String) -> String {
        let lines = source.split(separator: "\n", omittingEmptySubsequences: false)
        let start = max(0, item.place.line - 1)
        let end = lines[start...].firstIndex { $0 == "---" } ?? lines.count
        return lines[start..<end].joined(separator: "\n")
    }
}
