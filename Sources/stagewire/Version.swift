import ArgumentParser
import StagewireModel

struct Version: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print the version of the program and of the protocol.",
        discussion: """
            EXAMPLE:
              stagewire version --json
            """)

    static let number = Release.version

    static var text: String { "stagewire \(number), protocol \(ProtocolVersion.text(ProtocolVersion.current))" }

    @Flag(help: "Print one JSON object.")
    var json = false

    private struct Versions: Encodable {
        var version = Version.number
        /// The newest protocol version that it speaks.
        var `protocol` = ProtocolVersion.text(ProtocolVersion.current)
    }

    func run() { json ? Output.json("version", Versions()) : Output.text(Self.text) }
}
