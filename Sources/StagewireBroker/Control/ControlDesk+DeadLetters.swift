import FoundationEssentials
import StagewireControl
import StagewireModel
import StagewireRouter

/// Looking at dead letters, having them delivered again, and dropping them.
extension ControlDesk {
    // MARK: Looking

    func list(_ request: ControlRequest) throws(ControlProblem) -> ControlAnswer {
        try request.allowOnly(["stage", "after", "limit"] + DeadLetterFilter.parameters)
        let limit = try request.number("limit") ?? UInt64(ControlAPI.defaultPage)
        guard limit >= 1, limit <= UInt64(ControlAPI.longestPage) else {
            throw ControlProblem(.badRequest, "limit is \(limit)", hint: "it may be 1 to \(ControlAPI.longestPage)")
        }
        let after = try request.number("after")
        guard after == nil || request.query["stage"] != nil else {
            throw ControlProblem(
                .badRequest, "after stands without a stage", hint: "letters are numbered per stage: add stage=NAME")
        }
        let filter = try LetterFilter(try request.deadLetterFilter())
        let stages =
            if let name = request.query["stage"] { try stage(name)...(try stage(name)) } else {
                0...(pipeline.stages.count - 1)
            }
        return .largeJSON(page(stages, filter, after: after ?? 0, limit: Int(limit)))
    }

    private func page(
        _ stages: ClosedRange<Int>, _ filter: LetterFilter, after: UInt64, limit: Int
    ) -> DeadLetterPage {
        var page = DeadLetterPage(letters: [], total: 0)
        var isCut = false
        for stage in stages {
            let letters = selected(stage, where: filter.matches)
            page.total += letters.count
            let rest = letters.filter { $0.number > after }
            let shown = rest.prefix(limit - page.letters.count)
            page.letters += shown.map { summary($0, stage: stage) }
            isCut = isCut || shown.count < rest.count
        }
        // Numbers of several stages cannot be told apart by one `after`.
        if isCut, stages.count == 1 { page.next = page.letters.last?.number }
        return page
    }

    func show(stage name: String, number text: String) throws(ControlProblem) -> ControlAnswer {
        let stage = try stage(name)
        let number = try number(text, stage)
        return .largeJSON(detail(selected(stage) { $0.number == number }[0], stage: stage))
    }

    // MARK: Changing

    /// Whether letters wait for room shows after the next turn, which is when they move.
    func retry(
        _ request: ControlRequest, _ caller: ControlCaller, _ reply: @escaping Reply
    ) throws(ControlProblem) {
        var choice = try choose(request)
        let (name, index) = (pipeline.stages[choice.stage].name, choice.stage)
        guard router.takesDeadLetters(stage: index), !lifecycle.switchboard.isStopped else {
            throw ControlProblem(
                .conflict, "stage \(name) takes no records any more: it has ended, or the pipeline is stopping",
                hint: "the dead letters can still be looked at")
        }
        choice.answer.changed = lifecycle.switchboard.router.retryDeadLetters(stage: index, choice.numbers)
        log("retried", choice, caller)
        lifecycle.switchboard.whenDurable { [self] in
            let asked = Set(choice.numbers)
            choice.answer.waiting = selected(index) { asked.contains($0.number) }.count
            reply(.json(choice.answer))
        }
    }

    func drop(
        _ request: ControlRequest, _ caller: ControlCaller, _ reply: @escaping Reply
    ) throws(ControlProblem) {
        var choice = try choose(request)
        choice.answer.changed = lifecycle.switchboard.router.dropDeadLetters(stage: choice.stage, choice.numbers)
        log("dropped", choice, caller)
        lifecycle.switchboard.whenDurable { [choice] in reply(.json(choice.answer)) }
    }

    /// Another record takes the place of a letter's.
    func edit(
        stage name: String, number text: String, _ request: ControlRequest, _ caller: ControlCaller,
        _ reply: @escaping Reply
    ) throws(ControlProblem) {
        try request.allowOnly([])
        let stage = try stage(name)
        let number = try number(text, stage)
        let edit = try request.decode(DeadLetterEdit.self, keys: DeadLetterEdit.keys)
        guard let output = Data(base64Encoded: edit.recordBase64) else {
            throw ControlProblem(.badRequest, "record_base64 is not base64")
        }
        let id: RecordID?
        do throws(CloseReason) {
            id = try lifecycle.switchboard.router.editDeadLetter(stage: stage, number, output: Array(output).span.bytes)
        } catch { throw ControlProblem(.badRequest, error.message) }
        guard let id else {
            throw ControlProblem(
                .conflict, "the retry of dead letter \(number) of \(name) was asked for already",
                hint: "it can be edited when it should come back")
        }
        logger.info("dead letter \(number) is edited: asked by \(caller.description)", metadata: ["stage": "\(name)"])
        let answer = DeadLetterEdited(stage: name, number: number, id: id.description)
        lifecycle.switchboard.whenDurable { reply(.json(answer)) }
    }

    /// The number of a letter that there is.
    private func number(_ text: String, _ stage: Int) throws(ControlProblem) -> UInt64 {
        let name = pipeline.stages[stage].name
        guard let number = UInt64(text) else {
            throw ControlProblem(.badRequest, "\(text) is no number of a dead letter", hint: "write \(name)/17")
        }
        guard !selected(stage, where: { $0.number == number }).isEmpty else {
            throw ControlProblem(
                .notFound, "\(name) has no dead letter \(number) (any more)",
                hint: "GET /v1/dead-letters?stage=\(name) lists those that it has")
        }
        return number
    }

    private struct Choice {
        var stage: Int
        /// Of letters that exist.
        var numbers: [UInt64]
        var answer: DeadLetterAnswer
    }

    private func choose(_ request: ControlRequest) throws(ControlProblem) -> Choice {
        try request.allowOnly([])
        let selection = try request.decode(DeadLetterSelection.self, keys: DeadLetterSelection.keys)
        let stage = try stage(selection.stage)
        let isNarrow = selection.numbers != nil || !selection.filter.isEmpty
        guard isNarrow || selection.all == true else {
            throw ControlProblem(
                .badRequest, "nothing says which dead letters are meant",
                hint: "give numbers, a condition (\(DeadLetterFilter.keys.joined(separator: ", "))), or \"all\": true")
        }
        guard selection.all != true || !isNarrow else {
            throw ControlProblem(.badRequest, "all stands beside numbers or a condition", hint: "give one or the other")
        }
        guard (selection.numbers?.count ?? 0) <= ControlLimits.numbers else {
            throw ControlProblem(.badRequest, "more than \(ControlLimits.numbers) numbers", hint: "ask several times")
        }
        let filter = try LetterFilter(selection.filter)
        let wanted = selection.numbers.map(Set.init)
        let named = selected(stage) { wanted?.contains($0.number) ?? true }
        let numbers = named.filter(filter.matches).map(\.number)
        let missing = (wanted ?? []).subtracting(named.map(\.number)).sorted()
        return Choice(stage: stage, numbers: numbers, answer: DeadLetterAnswer(changed: 0, missing: missing))
    }

    private func log(_ done: String, _ choice: Choice, _ caller: ControlCaller) {
        let count = choice.answer.changed
        guard count > 0 else { return }
        let what = count == 1 ? "1 dead letter is" : "\(count) dead letters are"
        logger.info(
            "\(what) \(done): asked by \(caller.description)",
            metadata: ["stage": "\(pipeline.stages[choice.stage].name)"])
    }

    // MARK: Names

    /// A stage's letters that match, by number.
    private func selected(_ stage: Int, where matches: (DeadLetter) -> Bool) -> [DeadLetter] {
        router.deadLetters(stage: stage).filter(matches).sorted { $0.number < $1.number }
    }

    func stage(_ name: String) throws(ControlProblem) -> Int {
        guard let index = pipeline.stages.firstIndex(where: { $0.name == name }) else {
            let names = pipeline.stages.map(\.name).joined(separator: ", ")
            throw ControlProblem(.notFound, "there is no stage \(name)", hint: "there are \(names)")
        }
        return index
    }
}
