import Glibc

/// A program to start: everything the child gets, and nothing of ours besides.
struct SpawnRequest {
    /// Program and arguments. A program without a slash is looked up in PATH; one with a slash and no
    /// leading one is relative to `directory`.
    var command: [String]
    var directory: String
    /// `NAME=value`
    var environment: [String]
    /// Descriptors that become the child's standard output and standard error.
    var output: Int32
    var error: Int32

    /// Starts the program in a process group of its own, whose number is the returned process id.
    ///
    /// Signal masks and dispositions are reset: the broker handles SIGINT and SIGTERM and ignores SIGPIPE,
    /// and children must not inherit that. All descriptors but the standard three are closed.
    func start() throws(EnvironmentError) -> pid_t {
        precondition(!command.isEmpty, "StagewireConfig refuses an empty command")
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, output, 1)
        posix_spawn_file_actions_adddup2(&actions, error, 2)
        SpawnExtensions.addChangeDirectory(&actions, directory)
        SpawnExtensions.addCloseFrom(&actions, 3)

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        Self.configure(&attributes)

        var pid = pid_t()
        let status = Self.withArray(command) { arguments in
            Self.withArray(environment) { variables in
                posix_spawnp(&pid, command[0], &actions, &attributes, arguments, variables)
            }
        }
        guard status == 0 else { throw describe(status) }
        return pid
    }

    private static func configure(_ attributes: inout posix_spawnattr_t) {
        var none = sigset_t()
        sigemptyset(&none)
        var all = sigset_t()
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setpgroup(&attributes, 0)
        let flags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF
        posix_spawnattr_setflags(&attributes, Int16(flags))
    }

    private func describe(_ status: Int32) -> EnvironmentError {
        let program = command[0]
        var text = "cannot start \(program) in \(directory): \(SystemMessage.text(status))"
        switch status {
        case ENOENT where program.contains("/"):
            text += ". Is it built, is the path relative to \(directory), and does its interpreter exist?"
        case ENOENT: text += ". Is it installed and in PATH?"
        case EACCES: text += ". Is it executable (chmod +x)?"
        case ENOEXEC: text += ". A script needs a first line such as #!/bin/sh"
        default: break
        }
        return EnvironmentError(text)
    }

    private static func withArray<Result>(
        _ strings: [String], _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> Result
    ) -> Result {
        var pointers: [UnsafeMutablePointer<CChar>?] = strings.map { strdup($0) }
        pointers.append(nil)
        defer { for pointer in pointers { free(pointer) } }
        return pointers.withUnsafeMutableBufferPointer { body($0.baseAddress!) }
    }
}
