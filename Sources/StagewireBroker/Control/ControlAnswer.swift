import NIOCore
import NIOHTTP1
import StagewireControl
import StagewireModel

/// What goes back to a client.
struct ControlAnswer {
    enum Body {
        case bytes([UInt8])
        /// To be encoded on a thread of the pool: a page of a thousand dead letters takes some 20 ms, in which the event
        /// loop can do better.
        case encoding(@Sendable () -> [UInt8])
    }

    var status: HTTPResponseStatus
    var body: Body
    /// Methods that the path has, with an answer 405.
    var allowed: [HTTPMethod] = []
    /// The connection ends behind it.
    var isLast = false

    static func json(_ value: some Encodable, status: HTTPResponseStatus = .ok) -> ControlAnswer {
        ControlAnswer(status: status, body: .bytes(ControlJSON.encode(value)))
    }

    /// For what may be large.
    static func largeJSON(_ value: some Encodable & Sendable) -> ControlAnswer {
        ControlAnswer(status: .ok, body: .encoding { ControlJSON.encode(value) })
    }

    static func problem(_ problem: ControlProblem) -> ControlAnswer {
        let status = ControlProblem.Code(rawValue: problem.code)?.status ?? 500
        return ControlAnswer(
            status: HTTPResponseStatus(statusCode: status),
            body: .bytes(ControlJSON.encode(ControlProblem.Body(problem))))
    }

    /// The bytes of the request cannot be made sense of, so nothing behind them can.
    static func malformed(_ error: any Error) -> ControlAnswer {
        var answer: ControlAnswer
        if case .headerOverflow? = error as? HTTPParserError {
            answer = .problem(
                ControlProblem(.tooLarge, "the request's head is longer than \(ControlLimits.head) bytes"))
            answer.status = .requestHeaderFieldsTooLarge
        } else {
            answer = .problem(
                ControlProblem(
                    .badRequest, "this is not HTTP/1.1: \(error)",
                    hint: "workers attach at the other socket, the one without .control in its name"))
        }
        answer.isLast = true
        return answer
    }

    static let tooLarge: ControlAnswer = {
        var answer = ControlAnswer.problem(
            ControlProblem(.tooLarge, "the request's body is longer than \(ControlLimits.body) bytes"))
        answer.isLast = true
        return answer
    }()

    /// - Parameter request: `nil` when it could not be read.
    func head(for request: HTTPRequestHead?, length: Int, keepsAlive: Bool) -> HTTPResponseHead {
        var fields = HTTPHeaders([
            ("Content-Type", "application/json"), ("Content-Length", "\(length)"), ("Cache-Control", "no-store"),
            ("Server", "stagewire/\(Release.version)"), (ControlAPI.versionField, "\(ControlAPI.version)"),
        ])
        if !allowed.isEmpty { fields.add(name: "Allow", value: allowed.map(\.rawValue).joined(separator: ", ")) }
        let version = request?.version ?? .http1_1
        if !keepsAlive {
            fields.add(name: "Connection", value: "close")
        } else if version == .http1_0 {
            fields.add(name: "Connection", value: "keep-alive")
        }
        return HTTPResponseHead(version: version, status: status, headers: fields)
    }
}
