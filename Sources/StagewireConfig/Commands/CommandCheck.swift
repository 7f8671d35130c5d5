import StagewireModel

/// Whether the programs of a pipeline are there, before anything is started.
///
/// Only looks at the file system. What it finds may change until the program starts; the broker reports that too.
public struct CommandCheck: Sendable {
    /// Where programs without a slash are looked up: `PATH` of the environment, as the host does it.
    let path: String

    /// `environment` is what the broker runs with.
    public init(environment: [String: String]) {
        // What the host takes where there is none.
        path = environment["PATH"] ?? "/usr/local/bin:/usr/bin:/bin"
    }

    /// Something wrong with a command; `isDirectory`: with its `directory`.
    struct Problem: Equatable {
        var isDirectory = false
        var message: String
        var hint: String?
    }

    /// What is wrong with `launch`, whose pipeline's file stands in `directory`.
    func problems(of launch: Launch, directory: String) -> [Problem] {
        let base = launch.directory ?? directory
        var problems: [Problem] = []
        if let problem = launch.directory.flatMap(Self.problem(ofDirectory:)) { problems.append(problem) }
        let program = launch.command[0]
        // From a directory that is not there, nothing can be said about a relative path.
        if problems.isEmpty || program.hasPrefix("/") || !program.contains("/") {
            if let problem = problem(of: program, launch, base) { problems.append(problem) }
        }
        return problems
    }

    // MARK: Directories

    private static func problem(ofDirectory path: String) -> Problem? {
        switch FileLook.at(path) {
        case .directory: return nil
        case .file, .script:
            return Problem(isDirectory: true, message: "`directory`: \(quoted(path)) is a file, not a directory")
        case .nothing:
            let near = FileLook.neighbour(of: path, isDirectory: true)
            return Problem(
                isDirectory: true, message: "`directory`: there is no directory \(quoted(path))",
                hint: near.map { "did you mean \(quoted(replacingName(of: path, $0)))?" }
                    ?? "create it, or correct the path")
        case .failure(let why):
            return Problem(isDirectory: true, message: "`directory`: \(quoted(path)) cannot be used: \(why)")
        }
    }

    // MARK: Programs

    private func problem(of program: String, _ launch: Launch, _ base: String) -> Problem? {
        guard program.contains("/") else {
            return problem(inPath: program, launch, base)
        }
        let path = joined(base, program)
        switch FileLook.at(path) {
        case .file(let isExecutable):
            return isExecutable ? nil : Self.notExecutable(program, path)
        case .script(let isExecutable, let line):
            return isExecutable ? problem(of: line, program, launch, base) : Self.notExecutable(program, path)
        case .directory:
            return Problem(message: "`run`: \(quoted(program)) is a directory", hint: "name the program inside it")
        case .nothing:
            let near = FileLook.neighbour(of: path, isDirectory: false).map { Self.replacingName(of: program, $0) }
            return Problem(
                message: "`run`: there is no program \(quoted(program))",
                hint: near.map { "did you mean \(quoted($0))?" } ?? Self.origin(of: program, launch))
        case .failure(let why): return Problem(message: "`run`: \(quoted(program)) cannot be started: \(why)")
        }
    }

    /// What to ask about a program that is not where its path says.
    private static func origin(of program: String, _ launch: Launch) -> String {
        if program.hasPrefix("/") { return "is it installed?" }
        let base = launch.directory.map(quoted) ?? "the directory of this file"
        return "is it built? The path begins at \(base)"
    }

    /// The same path with another last component.
    private static func replacingName(of path: String, _ name: String) -> String {
        (path.lastIndex(of: "/").map { String(path[...$0]) } ?? "") + name
    }

    private static func notExecutable(_ program: String, _ path: String) -> Problem {
        Problem(message: "`run`: \(quoted(program)) is not executable", hint: "chmod +x \(path)")
    }

    private func problem(inPath program: String, _ launch: Launch, _ base: String) -> Problem? {
        var found: String?
        for directory in searchPath(launch, base) {
            let path = joined(directory, program)
            switch FileLook.at(path) {
            case .file(true): return nil
            case .script(true, let line): return problem(of: line, program, launch, base)
            case .file(false), .script(false, _): found = found ?? path
            case .directory, .nothing, .failure: break
            }
        }
        if let found { return Self.notExecutable(program, found) }
        let hint =
            if FileLook.at(joined(base, program)).isFile {
                "write `./\(program)` for the one in \(quoted(base))"
            } else if launch.environment["PATH"] != nil {
                "only PATH of the stage's `env` counts: is it complete?"
            } else {
                "is it installed?"
            }
        return Problem(message: "`run`: there is no program \(quoted(program)) in PATH", hint: hint)
    }
}
