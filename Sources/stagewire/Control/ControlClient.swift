import Foundation
import NIOCore
import NIOHTTP1
import StagewireControl

/// Asks a running broker over its control socket. Everything that it throws is a `ControlFailure`.
struct ControlClient: Sendable {
    /// The control socket.
    let path: String
    /// For everything but the end of the run.
    var patience = TimeAmount.seconds(10)

    init(path: String) { self.path = path }

    // MARK: What can be asked

    func information() async throws -> BrokerInformation { try await get("/v1") }

    func status() async throws -> PipelineStatus { try await get("/v1/status") }

    func deadLetters(
        stage: String?, filter: DeadLetterFilter, after: UInt64?, limit: Int
    ) async throws -> DeadLetterPage {
        var parameters = ["limit=\(limit)"]
        if let stage { parameters.append("stage=\(Self.encoded(stage))") }
        for (name, value) in filter.query { parameters.append("\(name)=\(Self.encoded(value))") }
        if let after { parameters.append("after=\(after)") }
        return try await get("/v1/dead-letters?\(parameters.joined(separator: "&"))")
    }

    func deadLetter(stage: String, number: UInt64) async throws -> DeadLetterDetail {
        try await get("/v1/dead-letters/\(Self.encoded(stage))/\(number)")
    }

    func retry(_ selection: DeadLetterSelection) async throws -> DeadLetterAnswer {
        try await post("/v1/dead-letters/retry", selection)
    }

    func edit(stage: String, number: UInt64, _ edit: DeadLetterEdit) async throws -> DeadLetterEdited {
        try await post("/v1/dead-letters/\(Self.encoded(stage))/\(number)/edit", edit)
    }

    func drop(_ selection: DeadLetterSelection) async throws -> DeadLetterAnswer {
        try await post("/v1/dead-letters/drop", selection)
    }

    func resume(_ stage: String) async throws -> ResumeAnswer {
        try await post("/v1/resume", ResumeRequest(stage: stage))
    }

    func replay(_ request: ReplayRequest) async throws -> ReplayAnswer {
        try await post("/v1/replay", request)
    }

    /// Has the run end, without waiting for it.
    func stop(_ mode: StopRequest.Mode) async throws -> StopAnswer {
        try await post("/v1/stop", StopRequest(mode: mode))
    }

    /// Has the run end and waits for it, however long it takes; a cancelled task gives up waiting. `nil`: the broker has
    /// gone without saying how.
    func stopAndWait(_ mode: StopRequest.Mode) async throws -> EndAnswer? {
        let body = ControlJSON.encode(StopRequest(mode: mode, wait: true))
        let conversation = try await ControlConversation.open(path, method: .POST, "/v1/stop", body: body)
        defer { conversation.close() }
        do {
            return try await withTaskCancellationHandler {
                try decode(try await conversation.answer(within: nil)) as EndAnswer
            } onCancel: {
                // Which fails the answer.
                conversation.close()
            }
        } catch let failure as ControlFailure where failure.isGone {
            return nil
        }
    }

    // MARK: Requests

    private func get<Answer: Decodable>(_ target: String) async throws -> Answer {
        try await exchange(.GET, target, body: nil)
    }

    private func post<Answer: Decodable>(_ target: String, _ body: some Encodable) async throws -> Answer {
        try await exchange(.POST, target, body: ControlJSON.encode(body))
    }

    private func exchange<Answer: Decodable>(
        _ method: HTTPMethod, _ target: String, body: [UInt8]?
    ) async throws -> Answer {
        let conversation = try await ControlConversation.open(path, method: method, target, body: body)
        defer { conversation.close() }
        return try decode(try await conversation.answer(within: patience))
    }

    // MARK: Answers

    private func decode<Answer: Decodable>(_ answer: NIOHTTPClientResponseFull) throws -> Answer {
        guard let version = answer.head.headers[ControlAPI.versionField].first else {
            throw ControlFailure.stranger(path, "it answers \(answer.head.status) without naming its version")
        }
        let body = answer.body.map { Array($0.readableBytesView) } ?? []
        if (200..<300).contains(answer.head.status.code), let value = try? ControlJSON.decode(Answer.self, from: body) {
            return value
        }
        if let problem = try? ControlJSON.decode(ControlProblem.Body.self, from: body) {
            // A newer broker has this version's paths no more.
            if problem.error.code == ControlProblem.Code.notFound.rawValue, version != "\(ControlAPI.version)" {
                throw ControlFailure.newer(version)
            }
            throw ControlFailure(problem.error)
        }
        if version != "\(ControlAPI.version)" { throw ControlFailure.newer(version) }
        throw ControlFailure.stranger(path, "its answer \(answer.head.status) is none of the API's")
    }

    /// One path segment or parameter.
    private static func encoded(_ text: String) -> String {
        text.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? text
    }
}
