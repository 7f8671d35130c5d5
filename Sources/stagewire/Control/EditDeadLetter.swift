import ArgumentParser
import Foundation
import StagewireControl
import StagewireStage
import StagewireWire

struct EditDeadLetter: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "edit", abstract: "Put another record in the place of a dead letter's.",
        discussion: """
            The record is one JSON object, as `show --record` writes it and docs/RECORD_JSON.md describes it. It gets an id of \
            its own, with the record before it as its parent; its way and its root stay, and so does the letter's number. \
            Lineage and attempt in the object are passed over.

            EXAMPLES:
              stagewire dead-letters show score/17 --record | jq -c '.json.price = 0' > fixed.json
              stagewire dead-letters edit score/17 --record fixed.json --retry

            Exits 0 when it is done, 1 when no pipeline runs there or the letter is on its way back, 2 for a wrong command line, \
            letter or record, 3 when the pipeline belongs to somebody else.
            """)

    @Argument(
        help: ArgumentHelp("Stage and number, such as score/17.", valueName: "stage/number"),
        transform: LetterName.parse)
    var letter: LetterName

    @Option(
        help: ArgumentHelp("The file with the record; `-` is standard input.", valueName: "file"), completion: .file())
    var record: String

    @Flag(help: "Have it delivered again at once.")
    var retry = false

    @OptionGroup var choice: PipelineOption

    @Flag(help: "Print what was done as JSON to standard output.")
    var json = false

    func run() async throws {
        try await reporting {
            let output = try readRecord()
            let client = try await choice.client()
            let edit = DeadLetterEdit(recordBase64: Data(output.encoded()).base64EncodedString())
            let edited = try await client.edit(stage: letter.stage, number: letter.number, edit)
            if retry { _ = try await client.retry(DeadLetterSelection(stage: letter.stage, numbers: [letter.number])) }
            if json { return Output.json("dead-letters edit", edited) }
            let name = "\(edited.stage)/\(edited.number)"
            Output.text("\(name) is record \(edited.id) now" + (retry ? ", and is retried." : "."))
        }
    }

    private func readRecord() throws -> StagewireStage.Output {
        let name = record == "-" ? "standard input" : Text.escaped(record)
        let handle = record == "-" ? FileHandle.standardInput : FileHandle(forReadingAtPath: record)
        guard let data = try? handle?.readToEnd() ?? Data(), handle != nil else {
            throw Failure(.usage, "\(name) cannot be read", hint: "give a file with one record, or `-`")
        }
        do throws(RecordJSON.Malformed) {
            return try RecordJSON.read(Array(data))
        } catch {
            throw Failure(
                .usage, "\(name) is no record: \(error)", hint: "docs/RECORD_JSON.md says what one looks like")
        }
    }
}
