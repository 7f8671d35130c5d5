import Glibc
import StagewireControl

/// A client of the control API with nothing between the test and the bytes.
final class ControlPeer {
    struct Answer {
        var status: Int
        /// Names in lower case.
        var fields: [String: String]
        var body: [UInt8]

        func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
            try ControlJSON.decode(type, from: body)
        }

        /// The code of a refusal.
        var problem: ControlProblem? { try? decode(ControlProblem.Body.self).error }
    }

    let peer: Peer
    private var buffer: [UInt8] = []

    init(_ path: String, patience: Int = 20) throws { peer = try Peer(path, patience: patience) }

    func send(_ text: String) throws { try peer.send(Array(text.utf8)) }

    /// The next answer; `nil` when the stream ends before one.
    func answer(isHead: Bool = false) throws -> Answer? {
        var end = Self.endOfHead(buffer)
        while end == nil {
            guard try fill() else { return nil }
            end = Self.endOfHead(buffer)
        }
        let head = String(decoding: buffer[..<end!], as: UTF8.self).split(separator: "\r\n").map(String.init)
        buffer.removeFirst(end! + 4)
        var fields: [String: String] = [:]
        for line in head.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            fields[parts[0].lowercased()] = String(parts[1].drop { $0 == " " })
        }
        guard let status = head.first?.split(separator: " ").dropFirst().first.flatMap({ Int($0) }) else {
            throw Peer.Failure(description: "no status line: \(head)")
        }
        // What announces that a body may come is no answer yet.
        if status == 100 { return try answer(isHead: isHead) }
        let length = isHead ? 0 : Int(fields["content-length"] ?? "0") ?? 0
        while buffer.count < length {
            guard try fill() else { throw Peer.Failure(description: "the answer was cut off") }
        }
        defer { buffer.removeFirst(length) }
        return Answer(status: status, fields: fields, body: Array(buffer[..<length]))
    }

    /// Whether the stream has ended, with nothing before its end.
    func hasEnded() throws -> Bool { try buffer.isEmpty && !fill() }

    func get(_ target: String) throws -> Answer {
        try send("GET \(target) HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return try received()
    }

    func post(_ target: String, _ body: some Encodable) throws -> Answer {
        let bytes = ControlJSON.encode(body)
        try send(
            "POST \(target) HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                + "Content-Length: \(bytes.count)\r\n\r\n")
        try peer.send(bytes)
        return try received()
    }

    private func received() throws -> Answer {
        guard let answer = try answer() else { throw Peer.Failure(description: "the stream ended without an answer") }
        return answer
    }

    func status() throws -> PipelineStatus { try get("/v1/status").decode(PipelineStatus.self) }

    /// Asks until the pipeline is as wanted, for twenty seconds at most.
    func status(until isWanted: (PipelineStatus) -> Bool) throws -> PipelineStatus {
        for _ in 0..<1000 {
            let status = try status()
            if isWanted(status) { return status }
            usleep(20_000)
        }
        throw Peer.Failure(description: "the pipeline does not come to be as wanted: \(try status())")
    }

    func letters(_ query: String = "") throws -> DeadLetterPage {
        try get("/v1/dead-letters" + query).decode(DeadLetterPage.self)
    }

    private func fill() throws -> Bool {
        var chunk = [UInt8](repeating: 0, count: 65_536)
        let count = recv(peer.descriptor, &chunk, chunk.count, 0)
        if count == 0 || (count < 0 && errno == ECONNRESET) { return false }
        guard count > 0 else { throw Peer.Failure(description: "recv: \(String(cString: strerror(errno)))") }
        buffer += chunk[..<count]
        return true
    }

    private static func endOfHead(_ bytes: [UInt8]) -> Int? {
        guard bytes.count >= 4 else { return nil }
        return (0...(bytes.count - 4)).first { bytes[$0..<($0 + 4)].elementsEqual("\r\n\r\n".utf8) }
    }
}
