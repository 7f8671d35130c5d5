import Glibc
import StagewireWire

/// Where a command's program is, and why it may not start although it is there.
enum ProgramPath {
    /// What to execute for `name` in `directory`: a name with a slash as it is, any other one found in PATH of the
    /// worker's own environment, for that is where a stage's `env` can point to.
    ///
    /// - Throws: `EnvironmentError` when PATH has no such program, or only ones that may not be executed.
    static func find(_ name: String, directory: String, environment: [String]) throws(EnvironmentError) -> String {
        if name.contains("/") { return name }
        var forbidden: String?
        for folder in path(environment).split(separator: ":", omittingEmptySubsequences: false) {
            // An empty entry means the working directory.
            let candidate = folder.isEmpty ? "./\(name)" : "\(folder)/\(name)"
            let place = absolute(candidate, in: directory)
            guard isFile(place) else { continue }
            if access(place, X_OK) == 0 { return candidate }
            forbidden = forbidden ?? place
        }
        let start = "cannot start \(name) in \(directory): "
        guard let forbidden else {
            throw EnvironmentError(start + SystemMessage.text(ENOENT) + ". Is it installed and in PATH?")
        }
        throw EnvironmentError(
            start + SystemMessage.text(EACCES) + ". Is it executable (chmod +x \(forbidden))?")
    }

    static func absolute(_ path: String, in directory: String) -> String {
        path.hasPrefix("/") ? path : "\(directory)/\(path)"
    }

    static func isFile(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
    }

    /// The last one counts, as for `getenv` of most programs; without any, the system's standard one.
    private static func path(_ environment: [String]) -> String {
        let entry = environment.last { $0.hasPrefix("PATH=") }
        return entry.map { String($0.dropFirst(5)) } ?? "/usr/local/bin:/usr/bin:/bin"
    }

    /// Why the kernel finds no program although the file exists: what is missing is whatever runs or loads it.
    /// `nil` when the file itself is missing.
    static func missingInterpreter(of path: String) -> String? {
        guard let start = head(of: path) else { return nil }
        guard start.starts(with: "#!".utf8) else {
            return start.starts(with: [0x7f] + Array("ELF".utf8))
                ? "it is a program of another system: what would load it does not exist here" : nil
        }
        let line = start.dropFirst(2).prefix { $0 != UInt8(ascii: "\n") }
        let interpreter = line.drop { isBlank($0) }.prefix { !isBlank($0) }
        let name = String(decoding: interpreter, as: UTF8.self)
        guard name.hasSuffix("\r") else {
            return "its interpreter \(Text.escaped(name)) (first line) does not exist"
        }
        return
            "its interpreter \(Text.escaped(String(name.dropLast()))) (first line) is followed by a carriage return. "
            + "Save the script with Unix line ends"
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") }

    /// As much of a file as the kernel looks at.
    private static func head(of path: String) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 256)
        let count = read(descriptor, &bytes, bytes.count)
        return count > 0 ? Array(bytes[..<count]) : nil
    }
}
