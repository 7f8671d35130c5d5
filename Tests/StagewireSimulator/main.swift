import Foundation
import StagewireSimulation

// Runs seeds, in as many processes as there are cores, so that one that traps or never ends is a seed that has failed.
// `make sim` calls it; a process that it starts gets "--worker".

let arguments = Arguments(CommandLine.arguments)
switch arguments.mode {
case .worker: Worker.run()
case .trace(let seed): exit(Trace.run(seed) ? 0 : 1)
case .seeds: exit(Campaign(arguments).run() ? 0 : 1)
case .usage(let problem):
    FileHandle.standardError.write(Data("\(problem)\n\(Arguments.usage)\n".utf8))
    exit(2)
}

/// Prints a line at once, though it goes into a pipe.
func say(_ line: String) { FileHandle.standardOutput.write(Data("\(line)\n".utf8)) }
