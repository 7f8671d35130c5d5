/// What a started worker finds in its environment: the broker's own variables without any `STAGEWIRE_` one
/// (they would name another broker's socket and token), the stage's, and last the four of the protocol.
struct WorkerEnvironment {
    var inherited: [String: String]
    var socketPath: String

    func variables(
        stage: String, instance: String, token: WorkerToken, extra: [String: String]
    ) -> [String] {
        var all = inherited.filter { !$0.key.hasPrefix("STAGEWIRE_") }
        all.merge(extra) { _, own in own }
        all["STAGEWIRE_SOCKET"] = socketPath
        all["STAGEWIRE_STAGE"] = stage
        all["STAGEWIRE_INSTANCE"] = instance
        all["STAGEWIRE_TOKEN"] = token.text
        return all.map { "\($0.key)=\($0.value)" }.sorted()
    }
}

/// Proof that a worker was started by this broker: 16 bytes of the system's random generator, new for each
/// process.
struct WorkerToken: Equatable, Sendable {
    static let length = 16

    let bytes: [UInt8]

    init() {
        var generator = SystemRandomNumberGenerator()
        bytes = (0..<Self.length).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
    }

    /// Two lower-case hexadecimal digits for each byte.
    var text: String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}
