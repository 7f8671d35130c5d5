import ArgumentParser
import StagewireConfig

struct Schema: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print the JSON Schema of pipeline files.",
        discussion: """
            Editors complete and check pipeline.yaml with it: save it, and begin the file with

              # yaml-language-server: $schema=pipeline.schema.json

            EXAMPLES:
              stagewire schema > pipeline.schema.json
            """)

    @Flag(help: "Print the envelope that all commands print, with the schema as its result.")
    var json = false

    func run() {
        if json { return Output.json("schema", PipelineSchema.document) }
        Output.text(PipelineSchema.text)
    }
}
