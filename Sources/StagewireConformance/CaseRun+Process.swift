import Glibc
import StagewireWire

/// Verbs about time and about the process under test.
extension CaseRun {
    func performProcess(_ step: Step) throws(Stop) {
        switch step.verb {
        case .pause:
            // Time that passes for the other side; connections are served meanwhile.
            _ = try serve(Int(step.argument.number ?? 0)) { false }
        case .mark: marks[step.argument.text ?? ""] = now()
        case .elapsed: try checkElapsed(step)
        case .repeat:
            let steps: [Step]
            do { steps = try step.inner(item.role) } catch { throw .fail(error.message) }
            for _ in 0..<(step.argument["times"]?.number ?? 0) {
                for inner in steps { try perform(inner) }
            }
        case .exit: try awaitExit(step)
        case .kill: try kill(step)
        case .stop:
            mayEnd = true
            try kill(step)
        case .alive:
            if let end = process?.poll() { throw Stop(verdict: .crash, message: "the process \(end)") }
        case .stderr: try awaitText(step)
        case .copes: try awaitCoping(step)
        case .leaves: try awaitLeaving(step)
        case _: preconditionFailure("\(step.verb) is not about processes")
        }
    }

    /// `elapsed: {since: MARK, min: 200}`: only lower bounds, for the machine may be slow.
    private func checkElapsed(_ step: Step) throws(Stop) {
        guard let mark = marks[step.argument["since"]?.text ?? ""] else { throw .fail("there is no such mark") }
        let milliseconds = (now() - mark) / 1_000_000
        // Waits that the case asked for grow with the scale, what the other side waits for does not.
        if let least = step.argument["min"]?.number, milliseconds < least {
            throw .fail("\(milliseconds) ms have passed, at least \(least) were expected")
        }
    }

    /// `exit: 0`, `exit: {one_of: [0, 1]}`, `exit: {signal: 15}`.
    private func awaitExit(_ step: Step) throws(Stop) {
        mayEnd = true
        guard let process else { throw .fail("there is no process") }
        try waitFor("the end of the process", step) { process.poll() != nil }
        try takeRest()
        switch process.end {
        case .exited(let code):
            if step.argument["signal"] != nil { throw .fail("the process exited with \(code)", rules: step.rules) }
            if let problem = Pattern.mismatch(step.argument, FrameLiteral(Int(code)), path: "the exit code") {
                throw .fail(problem)
            }
        case .signalled(let number):
            // As a shell says it, too: 128 and the signal's number.
            let isExpected =
                step.argument["signal"]?.number == UInt64(number)
                || step.argument != .null && step.argument["signal"] == nil
                    && Pattern.mismatch(step.argument, FrameLiteral(128 + Int(number))) == nil
            guard isExpected else {
                throw Stop(verdict: .crash, message: "the process was ended by signal \(number)")
            }
        case nil: break
        }
    }

    /// `kill: TERM`, also KILL, STOP, CONT, INT. A process that has ended already could not be killed: inconclusive.
    func kill(_ step: Step) throws(Stop) {
        let names = ["TERM": SIGTERM, "KILL": SIGKILL, "STOP": SIGSTOP, "CONT": SIGCONT, "INT": SIGINT, "HUP": SIGHUP]
        guard let number = names[step.argument.text ?? "TERM"] else { throw .fail("there is no such signal") }
        guard let process, process.poll() == nil else {
            throw Stop(verdict: .inconclusive, message: "the process had ended before it could be signalled")
        }
        if number == SIGKILL || number == SIGTERM || number == SIGINT { mayEnd = true }
        transcript.add(seconds, "--", "--", "the suite sends SIG\(step.argument.text ?? "TERM")")
        process.signal(number)
    }

    /// `leaves: 1`: the process ends with that code, or comes back on a new connection (EN-5).
    private func awaitLeaving(_ step: Step) throws(Stop) {
        mayEnd = true
        try waitFor("the end of the process, or a new connection", step) {
            self.process?.poll() != nil || !self.waiting.isEmpty
        }
        if process?.poll() != nil { try awaitExit(step) }
    }

    /// `copes`: what came was broken, and a worker may end with 1 or 2, or go on and answer Ping. Never with a signal.
    private func awaitCoping(_ step: Step) throws(Stop) {
        mayEnd = true
        let link = try link(step.link)
        nonce += 1
        let expected = nonce
        if link.isOpen, !link.isBroken { try send("ping", [.init("nonce", FrameLiteral(expected))], to: link) }
        try waitFor("an answer to Ping, or the end of the process", step) {
            self.process?.poll() != nil
                || link.received.contains { $0.kind == "pong" && $0.message["nonce"]?.number == expected }
        }
        switch process?.end {
        case .exited(1), .exited(2), nil: break
        case .exited(let code): throw .fail("the process exited with \(code), 1 or 2 is right for broken input")
        case .signalled(let number):
            throw Stop(verdict: .crash, message: "the process was ended by signal \(number)")
        }
    }

    private func awaitText(_ step: Step) throws(Stop) {
        guard let process else { return }
        if let unwanted = step.argument["lacks"]?.text {
            if process.standardError.contains(unwanted) {
                throw .fail("standard error contains \(Pattern.shown(.text(unwanted)))")
            }
            return
        }
        let wanted = step.argument.text ?? step.argument["contains"]?.text ?? ""
        try waitFor("`\(wanted)` on standard error", step) {
            process.standardError.contains(wanted) || process.output < 0
        }
        guard process.standardError.contains(wanted) else {
            throw .fail("standard error does not contain `\(wanted)`")
        }
    }
}
