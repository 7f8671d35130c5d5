import Glibc
import StagewireWire

/// Questions to the broker under test that no worker can ask: docs/CONTROL_API.md.
extension CaseRun {
    /// `x.sock` has `x.control.sock`, any other `x` has `x.control`.
    private var controlSocket: String {
        brokerSocket.hasSuffix(".sock") ? "\(brokerSocket.dropLast(5)).control.sock" : "\(brokerSocket).control"
    }

    /// `control: {get: PATH, answer: P}`, or `{post: PATH, body: {...}, status: 409, answer: P}`: one request, and what
    /// the JSON of its answer is like. The status is 200 unless it says another.
    func control(_ step: Step) throws(Stop) {
        let isPost = step.argument["post"] != nil
        guard let path = (step.argument["post"] ?? step.argument["get"])?.text else {
            throw .fail("write it as {get: PATH} or {post: PATH}")
        }
        let body = isPost ? JSONWriter.text(step.argument["body"] ?? .object([])) : ""
        let text = try answer(to: request(isPost ? "POST" : "GET", path, body), "the answer to \(path)", step)
        transcript.add(seconds, "--", "<-", "\(path): \(text.prefix(200))")
        let wanted = step.argument["status"]?.number ?? 200
        let status = text.split(separator: " ").dropFirst().first.flatMap { UInt64($0) }
        guard status == wanted, let end = text.firstRange(of: "\r\n\r\n")?.upperBound else {
            throw .fail("\(path) was answered with \(text.prefix(200)), status \(wanted) is expected")
        }
        guard let pattern = step.argument["answer"] else { return }
        let value: FrameLiteral
        do { value = try CaseReader.value(String(text[end...]), file: path) } catch { throw .fail("\(error)") }
        if let problem = Pattern.mismatch(pattern, value, path: "the answer") { throw .fail(problem) }
    }

    private func request(_ method: String, _ path: String, _ body: String) -> String {
        var head = ["\(method) \(path) HTTP/1.1", "Host: localhost", "Connection: close"]
        if !body.isEmpty { head += ["Content-Type: application/json", "Content-Length: \(body.utf8.count)"] }
        return head.joined(separator: "\r\n") + "\r\n\r\n" + body
    }

    /// Everything that comes until the other side ends the connection.
    private func answer(to request: String, _ what: String, _ step: Step) throws(Stop) -> String {
        // The control socket may come later than the workers' one.
        var connected: Int32 = -1
        try waitFor("a connection to \(controlSocket)", step) {
            connected = (try? Socket.connect(to: self.controlSocket)) ?? -1
            return connected >= 0
        }
        let descriptor = connected
        defer { Glibc.close(descriptor) }
        let bytes = Array(request.utf8)
        guard Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else {
            throw .fail("the control socket takes no request")
        }
        var answer: [UInt8] = []
        var portion = [UInt8](repeating: 0, count: 65_536)
        try waitFor(what, step) {
            while true {
                let count = recv(descriptor, &portion, portion.count, Int32(MSG_DONTWAIT))
                if count > 0 {
                    answer += portion[..<count]
                } else {
                    return count == 0 || errno != EAGAIN && errno != EINTR
                }
            }
        }
        return String(decoding: answer, as: UTF8.self)
    }
}
