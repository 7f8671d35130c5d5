import Glibc

/// How a process ended.
enum ExitStatus: Equatable, Sendable, CustomStringConvertible {
    case exited(Int32)
    case killed(signal: Int32)

    var isSuccess: Bool { self == .exited(0) }

    var description: String {
        switch self {
        case .exited(let code): "exited with status \(code)\(Self.hint(status: code))"
        case .killed(let signal): "was killed by \(SystemMessage.signal(signal))\(Self.hint(signal: signal))"
        }
    }

    /// Shells, `env` and their like report with these that they could not start what they were asked to.
    private static func hint(status: Int32) -> String {
        switch status {
        case 126: " (a command in it is not executable)"
        case 127: " (a command in it was not found)"
        default: ""
        }
    }

    private static func hint(signal: Int32) -> String {
        switch signal {
        case SIGXCPU: " (its limit of processor time)"
        case SIGXFSZ: " (its limit of file size)"
        default: ""
        }
    }

    /// Blocks until the child ends, and leaves it a zombie: while it is one, its process id and group
    /// cannot be given to anybody else, so that signalling what is left of the group is safe.
    static func await(_ pid: pid_t) {
        var information = siginfo_t()
        while waitid(P_PID, id_t(pid), &information, WEXITED | WNOWAIT) != 0 {
            precondition(errno == EINTR, "only the worker's own reaper waits for it")
        }
    }

    /// Collects a child that `await` has seen end.
    static func reap(_ pid: pid_t) -> ExitStatus {
        var status: Int32 = 0
        while waitpid(pid, &status, 0) != pid {
            precondition(errno == EINTR, "only the worker's own reaper waits for it")
        }
        let signal = status & 0x7f
        return signal == 0 ? .exited((status >> 8) & 0xff) : .killed(signal: signal)
    }
}
