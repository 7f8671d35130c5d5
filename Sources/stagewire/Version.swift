import ArgumentParser
import Glibc
import StagewireModel

struct Version: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Print the version of the program and of the protocol.")

    static let number = Release.version

    static var text: String { "stagewire \(number), protocol \(ProtocolVersion.text(ProtocolVersion.current))" }

    func run() { Terminal.write(Self.text + "\n", to: STDOUT_FILENO) }
}
