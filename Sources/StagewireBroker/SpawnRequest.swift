import CWorkerHost
import Glibc
import StagewireModel

/// A program to start: everything the child gets, and nothing of ours besides.
struct SpawnRequest {
    /// Program and arguments, not empty. A program without a slash is looked up in PATH of `environment`; one with a
    /// slash and no leading one is relative to `directory`.
    var command: [String]
    var directory: String
    /// `NAME=value`
    var environment: [String]
    /// Whether standard input is the broker's own; else it is empty.
    var hasOwnInput = false
    /// Descriptor that becomes standard output; nil: the broker's own.
    var output: Int32?
    /// Descriptor that becomes standard error.
    var error: Int32
    var limits = ProcessLimits()

    /// Whether the child stays in the broker's process group instead of getting one of its own.
    ///
    /// Only the terminal's foreground group may read from the terminal: in a group of its own, a worker that does would
    /// be stopped by SIGTTIN. Making its group the foreground one instead would take Ctrl-C away from the broker. So
    /// such a worker stays with the broker and ignores SIGINT; the price is that processes which it starts itself
    /// cannot be told from the broker's own and are not ended with it.
    var sharesGroup: Bool { hasOwnInput && isatty(STDIN_FILENO) == 1 }

    /// Starts the program, by default in a process group of its own whose number is the returned process id.
    ///
    /// Signal masks and dispositions are reset: the broker handles SIGINT and SIGTERM and ignores SIGPIPE,
    /// and children must not inherit that. All descriptors but the standard three are closed.
    func start() throws(EnvironmentError) -> pid_t {
        precondition(!command.isEmpty, "StagewireConfig refuses an empty command")
        let program = try ProgramPath.find(command[0], directory: directory, environment: environment)
        let resources = ResourceLimits.of(limits)
        var failure = sw_failure()
        let pid = resources.withUnsafeBufferPointer { resources in
            Self.withArray(command) { arguments in
                Self.withArray(environment) { variables in
                    withStrings(program) { program, directory in
                        var request = sw_spawn()
                        request.program = program
                        request.arguments = arguments
                        request.environment = variables
                        request.directory = directory
                        request.error = error
                        request.shares_group = sharesGroup
                        request.limits = resources.baseAddress
                        request.limit_count = resources.count
                        request.niceness = Int32(limits.niceness ?? 0)
                        // -1 stands for an empty input.
                        request.input = hasOwnInput ? STDIN_FILENO : -1
                        request.output = output ?? STDOUT_FILENO
                        return sw_spawn(&request, &failure)
                    }
                }
            }
        }
        guard pid > 0 else { throw SpawnFailure(request: self, program: program, failure: failure).error }
        return pid
    }

    private func withStrings<Result>(
        _ program: String, _ body: (UnsafePointer<CChar>, UnsafePointer<CChar>) -> Result
    ) -> Result {
        program.withCString { program in directory.withCString { body(program, $0) } }
    }

    private static func withArray<Result>(
        _ strings: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
    ) -> Result {
        var pointers: [UnsafeMutablePointer<CChar>?] = strings.map { strdup($0) }
        pointers.append(nil)
        defer { for pointer in pointers { free(pointer) } }
        return pointers.withUnsafeBufferPointer { body($0.baseAddress!) }
    }
}
