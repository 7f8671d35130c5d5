import ArgumentParser
import StagewireConfig

struct Graph: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print a pipeline as a drawing: Mermaid or Graphviz.",
        discussion: """
            Mermaid is drawn by most places that show Markdown. The commands of the stages need not be there.

            Exits 0 when the pipeline is right, 2 when it is not.

            EXAMPLES:
              stagewire graph pipeline.yaml
              stagewire graph pipeline.yaml --format dot | dot -Tsvg -o pipeline.svg
            """)

    enum Format: String, ExpressibleByArgument, CaseIterable { case mermaid, dot }

    @Argument(help: ArgumentHelp("The pipeline, such as pipeline.yaml.", valueName: "file"))
    var file: String

    @Option(help: "mermaid or dot.")
    var format = Format.mermaid

    @Flag(help: "Print nodes and edges as JSON instead.")
    var json = false

    func run() throws {
        let pipeline = try PipelineArgument.load(file, checkingCommands: false)
        let graph = PipelineGraph(pipeline.definition)
        if json { return Output.json("graph", graph) }
        switch format {
        case .mermaid: Output.text(String(graph.mermaid.dropLast()))
        case .dot: Output.text(String(graph.dot.dropLast()))
        }
    }
}
