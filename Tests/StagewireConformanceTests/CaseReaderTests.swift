import StagewireConformance
import Testing

/// A malformed case file names file, line and what is wrong; it never runs.
struct CaseReaderTests {
    private static let head = "case: a\ntitle: t\nrole: worker\nrules: [CR-4]\n"

    private func fault(_ text: String) -> String {
        do {
            _ = try CaseReader.read(text, file: "x.yaml")
            return "none"
        } catch {
            return error.description
        }
    }

    @Test(arguments: [
        ("- a\n", "x.yaml:1:1: a case is a mapping"),
        ("case: a\ntitel: b\n", "x.yaml:2:1: `titel` is none of"),
        ("case: A b\ntitle: t\nrole: worker\nrules: [X]\nsteps: [barrier]\n", "`A b`: a slug has"),
        ("case: a\ntitle: t\nrole: nobody\nrules: [CR-4]\nsteps: [barrier]\n", "x.yaml:3:7: `nobody` is none of"),
        ("case: a\ntitle: t\nrole: worker\nsteps: [barrier]\n", "a case names the rules"),
        ("\(head)", "a case has `steps`"),
        ("\(head)steps:\n  - jump: 3\n", "x.yaml:6:5: `jump` is no verb"),
        ("\(head)steps:\n  - {barrier: true, exit: 0}\n", "x.yaml:6:5: a step is `VERB: ARGUMENT`"),
        ("\(head)steps:\n  - settle: 1\n", "`settle` is not for cases with `role: worker`"),
        ("\(head)steps:\n  - send: {pong: {nonse: 1}}\n", "x.yaml:6:5: send: pong.nonse: there is no such field"),
        ("\(head)steps:\n  - send: {settle: {outcomes: [{kind: MAYBE}]}}\n", "MAYBE is not one of its values"),
        ("\(head)steps:\n  - expect: {settled: {trough: 1}}\n", "settled.trough: there is no such field"),
        ("\(head)steps:\n  - expect: {nothing: {}}\n", "nothing: no kind of message"),
        ("\(head)steps:\n  - raw: abc\n", "`abc` is not pairs of hexadecimal digits"),
        ("\(head)steps:\n  - repeat: {times: 2, steps: [{jump: 1}]}\n", "`jump` is no verb"),
        ("\(head)steps: [\n", "x.yaml:"),
        ("\(head)role: worker\nsteps: [barrier]\n", "x.yaml:"),
        ("\(head)automatic: {pung: true}\nsteps: [barrier]\n", "`pung` is none of pong, credit, commit"),
    ])
    func mistakes(text: String, message: String) {
        #expect(fault(text).contains(message), "\(fault(text))")
    }

    @Test("A case says what it is to do")
    func aCase() throws {
        let text = """
            \(Self.head)profile: window
            requires: [holds]
            config: {records: 3}
            steps:
              - deliver: [a]
              - {on: second, expect: {settle: {}}, rule: ST-1, why: because, within: 5}
            """
        let item = try #require(try CaseReader.read(text, file: "x.yaml").first)
        #expect(item.profile == .window && item.setup.stage == "window" && item.requires == ["holds"])
        #expect(item.steps.map(\.verb) == [.deliver, .expect])
        let step = item.steps[1]
        #expect(step.link == "second" && step.rules == ["ST-1"] && step.why == "because" && step.within == 5)
        #expect(step.place.line == 10)
    }
}
