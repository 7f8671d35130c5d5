import NIOCore

/// What one client of the control API may cost. `docs/CONTROL_API.md`, "Limits", lists them.
enum ControlLimits {
    /// Clients at once. One more, and the one that has been idle longest has to go.
    static let connections = 32
    /// Bytes of a request's line and header fields.
    static let head = 16 * 1024
    static let headerFields = 64
    /// Bytes of a request's body.
    static let body = 1024 * 1024
    /// From one request to the end of the next, and from an answer to its last byte taken by the client.
    static let patience = TimeAmount.seconds(30)
    /// Between an answer and the next request of the same client.
    static let pause = TimeAmount.milliseconds(1)
    /// At the end of the run: how long clients have to take their last answers.
    static let farewell = TimeAmount.seconds(1)
    /// Numbers in one selection: all dead letters of a page, many times over.
    static let numbers = 100_000
}
