import StagewireControl
import StagewireRouter

/// Having a stage go on that its breaker has paused.
extension ControlDesk {
    func resume(_ request: ControlRequest, _ caller: ControlCaller, _ reply: Reply) throws(ControlProblem) {
        try request.allowOnly([])
        let name = try request.decode(ResumeRequest.self, keys: ["stage"]).stage
        let stage = try stage(name)
        let resumed = lifecycle.switchboard.router.resume(stage: stage)
        if resumed {
            logger.info("goes on: asked by \(caller.description)", metadata: ["stage": "\(name)"])
            lifecycle.switchboard.scheduleTurn()
        }
        reply(.json(ResumeAnswer(stage: name, resumed: resumed)))
    }
}
