import StagewireStage

/// What the stage `exec` is told: docs/EXEC.md.
public struct ExecConfiguration: Codable, Equatable, Sendable {
    /// How a batch stands on the command's standard input.
    public enum Input: String, Codable, Sendable, CaseIterable {
        /// Payloads, a line each.
        case lines
        /// Payloads, each behind its length as a big-endian u32.
        case lengthPrefixed = "length-prefixed"
        /// Whole records: docs/RECORD_JSON.md.
        case jsonLines = "json-lines"
        /// As `json-lines`, in a file whose path is in STAGEWIRE_FILE; standard input is empty.
        case file
    }

    /// What the command's standard output holds.
    public enum Output: String, Codable, Sendable, CaseIterable {
        case lines
        case lengthPrefixed = "length-prefixed"
        case jsonLines = "json-lines"
        /// Nothing for the pipeline: it goes where standard error goes.
        case none
    }

    /// What an exit code means.
    public enum Meaning: String, Codable, Sendable {
        case accept
        case reject
        case retry
    }

    public struct Batch: Codable, Equatable, Sendable {
        /// At most so many records, above zero.
        public var records: Int = 500
        /// At most so many bytes of payloads; nil: no limit of its own.
        public var bytes: Int?
        /// Seconds to wait for more; 0: the command gets what has arrived.
        public var every: Double = 0

        public init(records: Int = 500, bytes: Int? = nil, every: Double = 0) {
            self.records = records
            self.bytes = bytes
            self.every = every
        }

        public init(from decoder: any Decoder) throws {
            try UnknownKeys.refuse(in: decoder, known: CodingKeys.self)
            let values = try decoder.container(keyedBy: CodingKeys.self)
            records = try values.decodeIfPresent(Int.self, forKey: .records) ?? 500
            bytes = try values.decodeIfPresent(Int.self, forKey: .bytes)
            every = try values.decodeIfPresent(Double.self, forKey: .every) ?? 0
            try values.require(records > 0, .records, "a number above zero")
            try values.require(bytes ?? 1 > 0, .bytes, "a number above zero")
            try values.require(every >= 0 && every <= 86_400, .every, "seconds, from 0 to 86400")
        }

        enum CodingKeys: String, CodingKey, CaseIterable { case records, bytes, every }
    }

    /// Program and arguments; no shell in between.
    public var command: [String]
    public var input: Input
    public var output: Output
    public var batch: Batch
    /// Seconds that one run may take; then SIGTERM to its process group.
    public var timeout: Double
    /// Seconds from SIGTERM to SIGKILL.
    public var grace: Double
    /// What exit codes mean, over `defaultMeanings`.
    public var exitCodes: [Int32: Meaning]

    /// EX_DATAERR and EX_TEMPFAIL of sysexits(3); every other code but 0 is a retry.
    public static let defaultMeanings: [Int32: Meaning] = [0: .accept, 65: .reject, 75: .retry]

    enum CodingKeys: String, CodingKey, CaseIterable {
        case command, input, output, batch, timeout, grace
        case exitCodes = "exit_codes"
    }

    public init(command: [String], input: Input = .lines) {
        self.command = command
        self.input = input
        output = Self.output(for: input)
        batch = Batch()
        timeout = 60
        grace = 5
        exitCodes = [:]
    }

    public init(from decoder: any Decoder) throws {
        try UnknownKeys.refuse(in: decoder, known: CodingKeys.self)
        let values = try decoder.container(keyedBy: CodingKeys.self)
        self.init(command: try values.decode([String].self, forKey: .command))
        input = try values.decodeIfPresent(Input.self, forKey: .input) ?? .lines
        output = try values.decodeIfPresent(Output.self, forKey: .output) ?? Self.output(for: input)
        batch = try values.decodeIfPresent(Batch.self, forKey: .batch) ?? Batch()
        timeout = try values.decodeIfPresent(Double.self, forKey: .timeout) ?? 60
        grace = try values.decodeIfPresent(Double.self, forKey: .grace) ?? 5
        for (code, meaning) in try values.decodeIfPresent([String: Meaning].self, forKey: .exitCodes) ?? [:] {
            let number = Int32(code)
            try values.require(number.map { (0...255).contains($0) } ?? false, .exitCodes, "exit codes from 0 to 255")
            exitCodes[number ?? 0] = meaning
        }
        try values.require(command.first?.isEmpty == false, .command, "a program and its arguments")
        try values.require(timeout > 0 && timeout <= 86_400, .timeout, "seconds, above 0 and up to 86400")
        try values.require(grace >= 0 && grace <= 3600, .grace, "seconds, from 0 to 3600")
    }

    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(command, forKey: .command)
        try values.encode(input, forKey: .input)
        try values.encode(output, forKey: .output)
        try values.encode(batch, forKey: .batch)
        try values.encode(timeout, forKey: .timeout)
        try values.encode(grace, forKey: .grace)
        let codes = exitCodes.map { ("\($0.key)", $0.value) }
        try values.encode(Dictionary(codes) { first, _ in first }, forKey: .exitCodes)
    }

    /// A filter answers in the form that it is asked in; an archive of files says nothing.
    private static func output(for input: Input) -> Output {
        switch input {
        case .lines: .lines
        case .lengthPrefixed: .lengthPrefixed
        case .jsonLines: .jsonLines
        case .file: .none
        }
    }

    func meaning(of code: Int32) -> Meaning { exitCodes[code] ?? Self.defaultMeanings[code] ?? .retry }
}
