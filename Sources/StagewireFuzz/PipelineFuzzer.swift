import StagewireConfig
import StagewireLedger
import StagewireModel
import StagewireRouter

/// Takes an input for a pipeline's file, or for a `when` condition if its first byte is `w`. A finding is a trap, a sanitizer's
/// report, or one of these untrue:
///
/// - What is refused is refused with words, and a place within the text.
/// - Read once more it comes to the same.
/// - What is taken, a broker can be built of: a router, the names behind its numbers, the bound on its memory.
struct PipelineFuzzer {
    func run(_ input: [UInt8]) {
        guard let choice = input.first else { return }
        let text = String(decoding: input.dropFirst(), as: UTF8.self)
        if choice == UInt8(ascii: "w") { condition(text) } else { pipeline(text) }
    }

    private func pipeline(_ text: String) {
        let first = parse(text)
        precondition(first == parse(text), "what is read twice is the same")
        switch first {
        case .failure(let errors): check(errors, text)
        case .success(let loaded):
            _ = Router(loaded.definition)
            _ = Budget(loaded.definition)
            let layout = Layout(loaded.definition)
            precondition(layout.stages.count == loaded.definition.stages.count, "every stage has a name")
            precondition((try? Layout(layout.encoded().span.bytes)) == layout, "a journal can keep the names")
        }
    }

    private func parse(_ text: String) -> Result<LoadedPipeline, ConfigurationErrors> {
        Result { () throws(ConfigurationErrors) in
            try PipelineFile.parse(text, name: "fuzz.yaml", directory: "/no/such")
        }
    }

    private func check(_ errors: ConfigurationErrors, _ text: String) {
        let lines = text.unicodeScalars.count { ["\n", "\r", "\u{85}", "\u{2028}", "\u{2029}"].contains($0) } + 1
        for error in errors.errors {
            // An unexpected end may be reported on the line behind the last.
            precondition(error.line >= 1 && error.line <= lines + 1 && error.column >= 1, "an error has a place")
            precondition(!error.message.isEmpty, "and words")
        }
        precondition(!errors.description.isEmpty)
    }

    private func condition(_ text: String) {
        let attributes: [AttributeValue?] = [nil, .text("a"), .integer(-1), .number(.nan), .flag(true)]
        do throws(PredicateError) {
            let predicate = try Predicate(parsing: text)
            let again = try Predicate(parsing: text)
            for value in attributes {
                precondition(
                    predicate.matches { _ in value } == again.matches { _ in value }, "what is read twice is the same")
            }
        } catch {
            precondition(!error.message.isEmpty, "a condition is refused with words")
            precondition((0...text.unicodeScalars.count).contains(error.offset), "and a place within it")
        }
    }
}
