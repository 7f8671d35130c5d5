import Glibc
import StagewireControl
import StagewireModel
import StagewireWire

/// What `run` says first.
struct Banner: Encodable {
    struct Stage: Encodable {
        var name: String
        /// What it reads: a stage, with a port when that stage has several.
        var from: [String]
        /// Absent: somebody else starts its workers.
        var command: [String]?
        var workers: Int?
    }

    var pipeline: String
    var version = Version.number
    var pid = getpid()
    var socket: String
    var controlSocket: String
    var durability: String
    /// Absent with `durability: memory`.
    var stateDirectory: String?
    var stages: [Stage]

    private enum CodingKeys: String, CodingKey {
        case pipeline, version, pid, socket, durability, stages
        case controlSocket = "control_socket"
        case stateDirectory = "state_directory"
    }

    init(_ definition: PipelineDefinition, socket: String, state: String?) {
        pipeline = definition.name
        self.socket = socket
        controlSocket = ControlAPI.socketPath(besides: socket)
        durability = definition.durability.rawValue
        stages = definition.stages.map { stage in
            let from = stage.inputs.map { input in
                let upstream = definition.stages[input.stage]
                return upstream.ports.count == 1 ? upstream.name : "\(upstream.name).\(upstream.ports[input.port])"
            }
            return Stage(
                name: stage.name, from: from,
                command: stage.launch.map { ($0.builtIn.map { [$0] } ?? []) + $0.command },
                workers: stage.launch == nil ? nil : stage.workers)
        }
        stateDirectory = state
        meaning = Self.explain(definition.durability)
    }

    // MARK: For a person

    /// What the durability means.
    private let meaning: String

    private static func explain(_ durability: Durability) -> String {
        switch durability {
        case .memory: "what is in flight does not survive the broker"
        case .relaxed: "what was confirmed last (100 ms, or what the disk takes) may not survive the broker"
        case .disk: "what is confirmed survives the broker and the machine"
        }
    }

    var text: String {
        var lines = [
            Version.text,
            "  pipeline    \(pipeline)",
            "  socket      \(socket)",
            "  control     \(controlSocket)",
            "  durability  \(durability): \(meaning)",
        ]
        lines.append("  state       \(stateDirectory ?? "none: durability is memory")")
        for (index, stage) in stages.enumerated() {
            lines.append((index == 0 ? "  stages      " : "              ") + Self.line(stage))
        }
        // Paths and commands may hold anything.
        return lines.map { Text.escaped($0) }.joined(separator: "\n")
    }

    private static func line(_ stage: Stage) -> String {
        let inputs = stage.from.isEmpty ? "" : " < \(stage.from.joined(separator: ", "))"
        guard let command = stage.command, let workers = stage.workers else {
            return "\(stage.name)\(inputs)  (started by somebody else)"
        }
        return "\(stage.name)\(inputs)  (\(workers) x \(command.joined(separator: " ")))"
    }
}
