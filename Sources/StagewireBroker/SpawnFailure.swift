import CWorkerHost
import Glibc

/// A start that failed, and the words for it: which step, and what to do.
struct SpawnFailure {
    var request: SpawnRequest
    /// As it was to be executed.
    var program: String
    var failure: sw_failure

    var error: EnvironmentError {
        let system = SystemMessage.text(failure.code)
        let start = "cannot start \(request.command[0]) in \(request.directory): "
        switch failure.step {
        case SW_STEP_FORK:
            return EnvironmentError(start + system + ". Has the user too many processes (ulimit -u)?")
        case SW_STEP_PARENT: return EnvironmentError(start + "the broker has ended")
        case SW_STEP_GROUP: return EnvironmentError(start + "no process group of its own: \(system)")
        case SW_STEP_STREAMS: return EnvironmentError(start + streams(system))
        case SW_STEP_DIRECTORY: return EnvironmentError(start + directory(system))
        case SW_STEP_LIMIT: return EnvironmentError(start + limit(system))
        case SW_STEP_NICE: return EnvironmentError(start + "its niceness cannot be set: \(system)")
        default: return EnvironmentError(start + program(system))
        }
    }

    private func streams(_ system: String) -> String {
        switch (request.hasOwnInput, request.output) {
        case (true, nil): "\(system). Are the broker's own standard input and output open?"
        case (true, _): "\(system). Is the broker's own standard input open?"
        case (false, nil): "\(system). Is the broker's own standard output open?"
        case (false, _): "its standard streams cannot be set: \(system)"
        }
    }

    private func directory(_ system: String) -> String {
        switch failure.code {
        case ENOENT: "no such directory. Was it removed, or is `directory` misspelt?"
        case ENOTDIR: "that is not a directory"
        case EACCES: "the directory may not be entered. It needs the permission x"
        default: "its working directory cannot be set: \(system)"
        }
    }

    private func limit(_ system: String) -> String {
        let name = ResourceLimits.name(failure.resource)
        guard failure.code == EPERM else { return "its limit of \(name) cannot be set: \(system)" }
        let own = ResourceLimits.own(failure.resource)
        return "its limit of \(name) is above the broker's own hard limit (\(own)). Lower it, or raise that one"
    }

    private func program(_ system: String) -> String {
        let place = ProgramPath.absolute(program, in: request.directory)
        switch failure.code {
        case ENOENT:
            if let reason = ProgramPath.missingInterpreter(of: place) { return reason }
            return "\(system). Is it built, and is the path relative to \(request.directory)?"
        case EACCES: return "\(system). Is it executable (chmod +x)?"
        case ENOEXEC: return "\(system). A script needs a first line such as #!/bin/sh"
        case ETXTBSY: return "\(system). Is it still being written?"
        case E2BIG: return "\(system). Arguments and environment together are too long"
        case ENOMEM: return "\(system). Is its limit of address space too small for the program itself?"
        default: return system
        }
    }
}
