import Foundation
import Glibc

/// What stands at a path, as far as starting it is concerned.
enum FileLook: Equatable {
    case nothing
    case directory
    case file(isExecutable: Bool)
    /// A file that begins with `#!`; `line` is what follows.
    case script(isExecutable: Bool, line: String)
    /// It cannot be seen, for this reason.
    case failure(String)

    static func at(_ path: String) -> FileLook {
        var status = stat()
        guard stat(path, &status) == 0 else {
            let code = errno
            return code == ENOENT || code == ENOTDIR ? .nothing : .failure(String(cString: strerror(code)))
        }
        if status.st_mode & S_IFMT == S_IFDIR { return .directory }
        let isExecutable = access(path, X_OK) == 0
        // Reading from a pipe or a device could wait for ever.
        guard status.st_mode & S_IFMT == S_IFREG, let line = scriptLine(path) else {
            return .file(isExecutable: isExecutable)
        }
        return .script(isExecutable: isExecutable, line: line)
    }

    var isFile: Bool {
        switch self {
        case .file, .script: true
        case .nothing, .directory, .failure: false
        }
    }

    /// Linux looks at this many bytes of a script's first line.
    private static let interpreterLine = 256

    private static func scriptLine(_ path: String) -> String? {
        guard let handle = FileHandle(forReadingAtPath: path) else { return nil }
        defer { try? handle.close() }
        guard let head = try? handle.read(upToCount: interpreterLine), head.starts(with: "#!".utf8) else { return nil }
        return String(decoding: head.dropFirst(2).prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
    }

    /// The name in the same directory that was probably meant by the last one of `path`.
    static func neighbour(of path: String, isDirectory: Bool) -> String? {
        let slash = path.lastIndex(of: "/")
        let directory = slash.map { path[...$0] } ?? "."
        let name = slash.map { path[path.index(after: $0)...] } ?? path[...]
        let names = (try? FileManager.default.contentsOfDirectory(atPath: String(directory))) ?? []
        let near = nearest(to: String(name), in: names.prefix(listed).sorted())
        guard let near, (at(joined(String(directory), near)) == .directory) == isDirectory else { return nil }
        return near
    }

    /// Names of a directory that are compared.
    private static let listed = 4096
}
