/// A command's end that is no success: what is wrong, and what the process exits with.
///
/// ```
/// throw Failure(.environment, "no broker answers at \(path)", hint: "start one with `stagewire run FILE`")
/// ```
///
/// `Main` says it: in sentences on standard error and, when the command line has `--json`, as the envelope on
/// standard output. A command that has said both itself throws an `ExitStatus` instead.
struct Failure: Error, Equatable {
    /// Problems that people are told; programs get all.
    static let shown = 100

    var status: ExitStatus
    /// At least one.
    var problems: [Problem]

    /// - Parameter code: for programs; without it the one that goes with the status.
    init(_ status: ExitStatus, _ message: String, hint: String? = nil, code: String? = nil) {
        self.init(status, [Problem(code: code ?? status.problemCode, message: message, hint: hint)])
    }

    init(_ status: ExitStatus, _ problems: [Problem]) {
        precondition(!problems.isEmpty, "a failure has a reason")
        self.status = status
        self.problems = problems
    }
}

extension Problem {
    /// `p.yaml:3:5: what is wrong`, and the hint below it.
    var text: String {
        let place = [file, line.map(String.init), column.map(String.init)].compactMap(\.self).joined(separator: ":")
        let prefix = place.isEmpty ? "stagewire: " : "\(place): "
        return prefix + message + (hint.map { "\n    \($0)" } ?? "")
    }
}

/// How the process ends. Thrown by a command that has said why.
enum ExitStatus: Error, Equatable {
    case runtime
    /// The command line or the pipeline file is wrong.
    case usage
    /// The machine does not offer what is needed.
    case environment
    case signal(Int32)

    var code: Int32 {
        switch self {
        case .runtime: 1
        case .usage: 2
        case .environment: 3
        case .signal(let number): 128 + number
        }
    }

    /// The `Problem.code` that goes with it when there is no better one.
    var problemCode: String {
        switch self {
        case .runtime, .signal: "runtime"
        case .usage: "configuration"
        case .environment: "environment"
        }
    }
}
