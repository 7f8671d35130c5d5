import Foundation
import StagewireControl
import StagewireLedger
import StagewireModel
import StagewireRouter

/// Having a stage get records once more that it has settled.
extension ControlDesk {
    func replay(
        _ request: ControlRequest, _ caller: ControlCaller, _ reply: @escaping Reply
    ) throws(ControlProblem) {
        try request.allowOnly([])
        let wish = try request.decode(ReplayRequest.self, keys: ReplayRequest.keys)
        let stage = try stage(wish.stage)
        let subscription = try self.subscription(wish)
        let start = try Self.start(wish)
        guard let journal = lifecycle.switchboard.journal else {
            throw ControlProblem(
                .conflict, "a pipeline with durability: memory keeps nothing that could be replayed",
                hint: "use durability: disk, and retention")
        }
        try expectReplay(stage)
        journal.prepareReplay(subscription, from: start) { [self] result in
            reply(answer(result, stage, subscription, caller))
        }
    }

    private func expectReplay(_ stage: Int) throws(ControlProblem) {
        guard router.takesReplay(stage: stage), !lifecycle.switchboard.isStopped else {
            throw ControlProblem(
                .conflict,
                "stage \(pipeline.stages[stage].name) takes no records any more: its input has ended, or the pipeline is stopping",
                hint: "when the broker has ended, `stagewire replay --pipeline FILE` does it for the next run")
        }
    }

    private func answer(
        _ result: Result<ReplayRange, any Error>, _ stage: Int, _ subscription: Int, _ caller: ControlCaller
    ) -> ControlAnswer {
        let name = pipeline.stages[stage].name
        switch result {
        case .success(let range):
            // The records were looked for on another thread.
            do { try expectReplay(stage) } catch { return .problem(error) }
            let held = lifecycle.switchboard.router.replay(subscription: subscription, from: range.from)
            lifecycle.switchboard.scheduleTurn()
            logger.info(
                "a replay from record \(range.from) on: asked by \(caller.description)", metadata: ["stage": "\(name)"])
            return .json(
                ReplayAnswer(
                    stage: name, input: "\(range.stream)", from: range.from, records: range.until - range.from,
                    waitsFor: held), status: .accepted)
        case .failure(let refusal as ReplayRefusal):
            return .problem(ControlProblem(.conflict, refusal.what, hint: refusal.hint))
        case .failure(let error):
            return .problem(
                ControlProblem(.conflict, "the journal cannot be read for this: \(JournalLink.text(error))"))
        }
    }

    /// The router's number of the subscription that is meant.
    private func subscription(_ wish: ReplayRequest) throws(ControlProblem) -> Int {
        do {
            return try Layout(pipeline).subscription(stage: wish.stage, input: wish.input)
        } catch {
            switch error {
            case .unknownStage, .isSource: throw ControlProblem(.conflict, error.what, hint: nil)
            case .several(_, let inputs):
                throw ControlProblem(.badRequest, error.what, hint: "add input: \(inputs.joined(separator: ", "))")
            case .doesNotRead(_, _, let inputs):
                throw ControlProblem(.notFound, error.what, hint: "it reads \(inputs.joined(separator: ", "))")
            }
        }
    }

    private static func start(_ wish: ReplayRequest) throws(ControlProblem) -> ReplayStart {
        switch (wish.sequence, wish.time, wish.beginning ?? false) {
        case (let sequence?, nil, false): return .sequence(sequence)
        case (nil, let text?, false):
            guard let time = Timestamp.microseconds(text), time >= 0 else {
                throw ControlProblem(.badRequest, "\(text) is no time", hint: "write 2026-11-28T09:30:00Z")
            }
            return .time(UInt64(time))
        case (nil, nil, true): return .beginning
        case _:
            throw ControlProblem(
                .badRequest, "a replay begins at one place", hint: "give sequence, time, or \"beginning\": true")
        }
    }
}
