import Glibc
import StagewireModel

/// One thing that is wrong, for the envelope and for standard error.
struct Problem: Encodable, Equatable {
    /// For programs: `configuration`, `usage`, `environment`, `runtime`, `malformed` (input that is not
    /// what it should be), or a code of the control API.
    var code: String
    var message: String
    var file: String?
    var line: Int?
    var column: Int?
    var hint: String?
}

/// What every command prints with `--json`: one JSON object on standard output, whatever happened.
///
/// ```
/// {"command": "check", "ok": true, "result": {...}, "stagewire": "0.1.0"}
/// {"command": "check", "ok": false, "errors": [{"code": "configuration", "message": ...}], "stagewire": "0.1.0"}
/// ```
///
/// A failure may have a result as well: what there is of it.
struct Envelope<Result: Encodable>: Encodable {
    var stagewire = Version.number
    var command: String
    var ok: Bool
    var result: Result?
    var errors: [Problem]?
}

enum Output {
    /// Prints a result as the envelope.
    static func json<Result: Encodable>(_ command: String, _ result: Result) {
        write(Envelope(command: command, ok: true, result: result))
    }

    /// Prints problems as the envelope. For people the caller says the same on standard error.
    static func json(_ command: String, _ problems: [Problem]) {
        write(Envelope<Bool>(command: command, ok: false, errors: problems))
    }

    /// Prints what there is of a result although there are problems.
    static func json<Result: Encodable>(_ command: String, _ result: Result, _ problems: [Problem]) {
        write(
            Envelope(
                command: command, ok: problems.isEmpty, result: result, errors: problems.isEmpty ? nil : problems))
    }

    static func text(_ text: String) { Terminal.write(text + "\n", to: STDOUT_FILENO) }

    static func error(_ text: String) { Terminal.write(text + "\n", to: STDERR_FILENO) }

    private static func write(_ envelope: some Encodable) { text(JSONText.pretty(envelope)) }
}
