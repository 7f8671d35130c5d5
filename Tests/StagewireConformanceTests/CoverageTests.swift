import Foundation
import StagewireConformance
import Testing
import Yams

/// The suite against the rules: what nobody tests, nobody can claim to keep.
struct CoverageTests {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path
    static let rules = try! RuleBook(document: String(contentsOfFile: "\(root)/docs/PROTOCOL.md", encoding: .utf8))

    private struct Obligation {
        var rule: String
        var role: Role
        var reason: String?
    }

    private static func obligations() throws -> [Obligation] {
        let text = try String(contentsOfFile: "\(root)/conformance/rules.yaml", encoding: .utf8)
        let node = try #require(try Yams.compose(yaml: text)?.mapping)
        return node.flatMap { key, value in
            (value["must"]?.sequence ?? []).compactMap { name in
                guard let rule = key.string, let role = Role(rawValue: name.string ?? "") else { return nil }
                return Obligation(rule: rule, role: role, reason: value["untestable"]?[role.rawValue]?.string)
            }
        }
    }

    @Test("Every case can be read, and names rules that exist")
    func casesNameRules() throws {
        let suite = try Suite(directory: "\(Self.root)/conformance")
        #expect(suite.cases.count >= 120)
        for item in suite.cases {
            for rule in item.rules + item.steps.flatMap(\.rules) {
                #expect(Self.rules[rule] != nil, "\(item.place): \(item.slug) names \(rule)")
            }
        }
    }

    @Test("The checklist has every rule of PROTOCOL.md, and no other")
    func checklistIsComplete() throws {
        let text = try String(contentsOfFile: "\(Self.root)/conformance/rules.yaml", encoding: .utf8)
        let listed = try #require(try Yams.compose(yaml: text)?.mapping).map { $0.key.string ?? "" }
        #expect(listed == Self.rules.rules.map(\.id))
    }

    @Test("Every obligation of a rule has a case for its role, or a reason why there is none")
    func everyRuleIsTested() throws {
        let suite = try Suite(directory: "\(Self.root)/conformance")
        var open: [String] = []
        for obligation in try Self.obligations() {
            let hasCase = suite.cases.contains { item in
                item.role == obligation.role
                    && (item.rules.contains(obligation.rule)
                        || item.steps.contains { $0.rules.contains(obligation.rule) })
            }
            if !hasCase, obligation.reason == nil { open.append("\(obligation.rule) (\(obligation.role.rawValue))") }
        }
        #expect(open.isEmpty, "without a case: \(open.joined(separator: ", "))")
    }

    @Test("Each kind of stage that a case names is one that README.md describes")
    func stages() throws {
        let suite = try Suite(directory: "\(Self.root)/conformance")
        for item in suite.cases where item.role == .worker {
            #expect(["transform", "ordered", "source", "window"].contains(item.setup.stage), "\(item.slug)")
        }
    }
}
