import Foundation

/// A program that parses records with another protobuf library; see Oracles/build.sh.
struct Oracle {
    static let names = ["go", "python", "rust"]

    let name: String
    private let program: URL

    /// Builds those whose toolchain is there and returns them.
    static func build() throws -> [Oracle] {
        let sources = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        let root = sources.deletingLastPathComponent().deletingLastPathComponent()
        let output = root.appending(path: ".build/oracles")
        let script = Process()
        script.executableURL = URL(filePath: "/bin/sh")
        script.arguments = [sources.appending(path: "Oracles/build.sh").path, output.path]
        try script.run()
        script.waitUntilExit()
        guard script.terminationStatus == 0 else { throw OracleFailure(text: "Oracles/build.sh failed") }
        return names.map { Oracle(name: $0, program: output.appending(path: $0)) }
            .filter { FileManager.default.isExecutableFile(atPath: $0.program.path) }
    }

    /// The oracle's answer to each record, in order.
    func judge(_ records: [[UInt8]]) throws -> [Substring] {
        let directory = FileManager.default.temporaryDirectory.appending(path: "stagewire-\(name)-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        // Files, not pipes: nobody has to read while writing.
        let input = directory.appending(path: "in")
        let output = directory.appending(path: "out")
        var cases = Data()
        for record in records {
            withUnsafeBytes(of: UInt32(record.count).bigEndian) { cases.append(contentsOf: $0) }
            cases.append(contentsOf: record)
        }
        try cases.write(to: input)
        try Data().write(to: output)
        let process = Process()
        process.executableURL = program
        process.standardInput = try FileHandle(forReadingFrom: input)
        process.standardOutput = try FileHandle(forWritingTo: output)
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw OracleFailure(text: "oracle \(name) failed") }
        return String(decoding: try Data(contentsOf: output), as: UTF8.self).split(separator: "\n")
    }
}

struct OracleFailure: Error, CustomStringConvertible {
    let text: String
    var description: String { text }
}
