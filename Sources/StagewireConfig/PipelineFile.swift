import Foundation
import StagewireModel

/// A pipeline as `pipeline.yaml` describes it, checked.
public struct LoadedPipeline: Equatable, Sendable {
    public var definition: PipelineDefinition
    /// The directory of the file: what its relative paths are relative to.
    public var directory: String
    /// Where the broker is to listen, if the file says so; joined with `directory` when relative.
    public var socketPath: String?
    /// Where its state is to lie, if the file says so; joined with `directory` when relative.
    public var stateDirectory: String?
}

/// Reads `pipeline.yaml`. The format: `docs/CONFIGURATION.md`.
public struct PipelineFile {
    /// Reads the file at `path` (at most 1 MiB, UTF-8); `commands` looks whether its programs are there.
    public static func load(path: String, commands: CommandCheck? = nil) throws(ConfigurationErrors) -> LoadedPipeline {
        let bytes = try read(path)
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw failure(path, at: invalidUTF8(in: bytes), "the file is not valid UTF-8 here", "save it as UTF-8")
        }
        let directory = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        return try parse(text, name: path, directory: directory, commands: commands)
    }

    /// Reads a pipeline from text; `name` stands in front of errors.
    public static func parse(
        _ text: String, name: String, directory: String, commands: CommandCheck? = nil
    ) throws(ConfigurationErrors) -> LoadedPipeline {
        guard text.utf8.count <= Document.size else { throw tooLarge(name) }
        // A byte order mark says nothing in UTF-8.
        let text = text.unicodeScalars.first == "\u{FEFF}" ? String(text.unicodeScalars.dropFirst()) : text
        let document = Document(text)
        var reader = Reader(source: SourceText(name: name, text: text))
        for error in document.errors { reader.report(error.position, error.message, hint: error.hint) }
        let pipeline = document.root.flatMap { reader.pipeline($0, directory: directory) }
        if let commands { reader.check(commands, directory: directory) }
        if !reader.errors.isEmpty { throw ConfigurationErrors(errors: inOrder(reader.errors)) }
        guard let pipeline else { preconditionFailure("a pipeline that cannot be read has errors") }
        return pipeline
    }

    private static func inOrder(_ errors: [ConfigurationError]) -> [ConfigurationError] {
        // `sorted` keeps the order of equal elements, which the order of the checks then decides.
        errors.sorted { ($0.line, $0.column) < ($1.line, $1.column) }
    }

    // MARK: Files

    private static func read(_ path: String) throws(ConfigurationErrors) -> [UInt8] {
        do {
            let handle = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
            defer { try? handle.close() }
            // One byte more than allowed tells an oversize file, a device or a pipe without end.
            var data = Data()
            while data.count <= Document.size {
                guard let part = try handle.read(upToCount: Document.size + 1 - data.count), !part.isEmpty else {
                    break
                }
                data.append(part)
            }
            guard data.count <= Document.size else { throw tooLarge(path) }
            return [UInt8](data)
        } catch let error as ConfigurationErrors {
            throw error
        } catch {
            throw failure(path, at: .start, "the file cannot be read: \(reason(error))", nil)
        }
    }

    private static func reason(_ error: any Error) -> String {
        switch (error as? CocoaError)?.code {
        case .fileNoSuchFile?, .fileReadNoSuchFile?: "there is no such file"
        case .fileReadNoPermission?: "permission denied"
        default: error.localizedDescription
        }
    }

    private static func tooLarge(_ name: String) -> ConfigurationErrors {
        failure(name, at: .start, "the file is larger than \(Quantity.text(Document.size))", "is this a pipeline?")
    }

    private static func failure(
        _ file: String, at position: Position, _ message: String, _ hint: String?
    ) -> ConfigurationErrors {
        ConfigurationErrors(errors: [
            ConfigurationError(
                file: file, line: position.line, column: position.column, message: message, hint: hint)
        ])
    }

    private static func invalidUTF8(in bytes: [UInt8]) -> Position {
        var position = Position.start
        var decoder = UTF8()
        var iterator = bytes.makeIterator()
        while case .scalarValue(let scalar) = decoder.decode(&iterator) {
            position =
                scalar == "\n"
                ? Position(line: position.line + 1, column: 1)
                : Position(line: position.line, column: position.column + 1)
        }
        return position
    }
}

extension Reader {
    /// Reports what is wrong with the programs of the stages that could be read.
    fileprivate mutating func check(_ check: CommandCheck, directory: String) {
        for site in commands {
            for problem in check.problems(of: site.launch, directory: directory) {
                let position = problem.isDirectory ? site.directory : nil
                report(
                    position ?? site.command, "stage \(quoted(site.stage)): \(problem.message)", hint: problem.hint)
            }
        }
    }
}

/// `path` seen from `directory`. Lexical: links are the system's affair.
func joined(_ directory: String, _ path: String) -> String {
    if path.hasPrefix("/") || directory.isEmpty { return path }
    return directory.hasSuffix("/") ? directory + path : directory + "/" + path
}
