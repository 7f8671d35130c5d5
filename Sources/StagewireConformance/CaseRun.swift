import Glibc
import StagewireWire

/// One case on its way: connections, processes, and the loop that serves them while a step waits. It lives on one
/// thread and blocks in `poll` only.
final class CaseRun {
    /// Milliseconds that a step may take unless it says otherwise, before `timeScale`.
    static let patience = 10_000
    /// Frames that a connection may send in one case: no case needs more than a few thousand.
    static let mostFrames = 100_000

    let item: Case
    let target: Target
    let options: RunOptions
    /// Of this case alone; short, for a socket's path has 107 bytes.
    let directory: String
    let start = now()
    var links: [Link] = []
    var listener: Int32 = -1
    /// Connections that nobody has taken yet.
    var waiting: [Int32] = []
    var process: ChildProcess?
    var processes: [ChildProcess] = []
    var transcript = Transcript()
    var genealogy = Genealogy()
    var token: [UInt8] = []
    /// A broker for sources: epoch, last emit id and checkpoint by partition, whatever the session.
    var partitions: [String: (epoch: UInt64, last: UInt64, checkpoint: [UInt8])] = [:]
    var marks: [String: UInt64] = [:]
    var nonce: UInt64 = 0x5eed_0000
    /// The worker may end, and the broker too: a step has asked for it.
    var mayEnd = false
    /// A connection may end within a frame: its other side is being killed.
    var mayBreakOff = false
    /// Broken rules that were found while frames were taken; a step fails with the first.
    var violation: Stop?
    var sessions: UInt64 = 0

    init(_ item: Case, _ target: Target, _ options: RunOptions, directory: String) {
        self.item = item
        self.target = target
        self.options = options
        self.directory = directory
    }

    var seconds: Double { Double(now() - start) / 1e9 }

    func scaled(_ milliseconds: Int) -> UInt64 { UInt64(Double(milliseconds) * options.timeScale * 1e6) }

    func link(_ name: String) throws(Stop) -> Link {
        guard let link = links.last(where: { $0.name == name }) else {
            throw .fail("the case names the connection `\(name)`, which is not there")
        }
        return link
    }

    // MARK: The loop

    /// Serves all connections until the condition holds.
    ///
    /// - Returns: false when the time is up.
    /// - Throws: a broken rule, or what the condition throws.
    func serve(_ milliseconds: Int, until condition: () throws(Stop) -> Bool) throws(Stop) -> Bool {
        let deadline = now() + scaled(milliseconds)
        while true {
            for link in links { link.flush() }
            if let violation { throw violation }
            if try condition() { return true }
            let current = now()
            guard current < deadline else { return false }
            try checkProcess()
            wait(until: deadline, current)
            try takeAll()
        }
    }

    /// As `serve`, but the time's end is a failure.
    func waitFor(_ what: String, _ step: Step, until condition: () throws(Stop) -> Bool) throws(Stop) {
        let patience = step.within ?? Self.patience
        guard try serve(patience, until: condition) else {
            throw .fail("\(what): not within \(Int(Double(patience) * options.timeScale)) ms")
        }
    }

    private func wait(until deadline: UInt64, _ current: UInt64) {
        var polled: [pollfd] = []
        for link in links where link.isOpen && !link.isBroken {
            var events: Int32 = 0
            if link.isReading, !link.isAtEnd { events |= Int32(POLLIN) }
            if link.hasOutput { events |= Int32(POLLOUT) }
            if events != 0 { polled.append(pollfd(fd: link.descriptor, events: Int16(events), revents: 0)) }
        }
        if listener >= 0 { polled.append(pollfd(fd: listener, events: Int16(POLLIN), revents: 0)) }
        for process in processes where process.output >= 0 {
            polled.append(pollfd(fd: process.output, events: Int16(POLLIN), revents: 0))
        }
        // Ends of processes make no descriptor readable; 20 ms is how late they are noticed at the most.
        let left = min(20, (deadline - current) / 1_000_000 + 1)
        poll(&polled, nfds_t(polled.count), Int32(left))
    }

    private func takeAll() throws(Stop) {
        if listener >= 0 {
            while true {
                let descriptor = Socket.accept(listener)
                guard descriptor >= 0 else { break }
                waiting.append(descriptor)
            }
        }
        for process in processes { process.read() }
        for link in links where link.isReading {
            link.fill()
            try take(link)
        }
    }

    private func take(_ link: Link) throws(Stop) {
        do throws(Stop) {
            let limit = item.role == .worker ? link.worker.frameLimit : link.broker.frameLimit
            while let content = try link.nextFrame(limit: limit) {
                let frame = Received(content, arrival: now())
                transcript.add(seconds, link.name, "<-", Transcript.describe(frame.dump))
                link.received.append(frame)
                guard link.received.count <= Self.mostFrames else {
                    throw Stop.fail("more than \(Self.mostFrames) frames came: the \(item.role.rawValue) floods")
                }
                if item.role == .worker {
                    try link.worker.take(frame, checks: item.setup.checks)
                    answerWorker(frame, link)
                } else {
                    try link.broker.take(frame, checks: item.setup.checks, genealogy: genealogy)
                    answerBroker(frame, link)
                }
            }
        } catch {
            if item.setup.checks { violation = violation ?? error }
        }
        if link.isDone, item.setup.checks, link.leftover > 0, !link.isBroken, !mayBreakOff, violation == nil {
            violation = .fail("the connection ended in the middle of a frame", rules: ["FR-1"])
        }
    }

    /// A process that ends although nobody asked for it is a crash, whatever the step waits for.
    func checkProcess() throws(Stop) {
        // Behind a Close of either side it is expected to end.
        let isClosing = links.contains { $0.sentClose || $0.worker.hasClosed }
        guard let process, !mayEnd, !isClosing, let end = process.poll() else { return }
        // What it still had to say may explain it.
        try takeRest()
        if let violation { throw violation }
        throw Stop(verdict: .crash, message: "the \(item.role.rawValue) \(end) before the case was over")
    }

    /// What a process had written before it ended lies in the sockets still, and counts.
    func takeRest() throws(Stop) {
        for link in links where link.isReading {
            link.fill()
            try take(link)
        }
    }

    // MARK: Frames out

    func write(_ bytes: [UInt8], _ text: String, to link: Link) {
        transcript.add(seconds, link.name, "->", text)
        link.write(bytes)
        link.flush()
    }

    /// - Parameter envelope: members `version`, unless it is to be the session's, and a kind.
    func send(_ envelope: FrameLiteral, to link: Link) throws(Stop) {
        let version = item.role == .worker ? link.worker.version : link.broker.version
        let whole: FrameLiteral =
            envelope.members.contains { $0.name == "version" }
            ? envelope : .object([.init("version", FrameLiteral(version))] + envelope.members)
        do {
            let content = try FrameForge.envelope(whole)
            if content.count <= 4 << 20 {
                write(FrameForge.framed(content), Transcript.describe(FrameDump(content)), to: link)
            } else {
                write(FrameForge.framed(content), "a frame of \(content.count) bytes", to: link)
            }
        } catch {
            throw .fail("the case cannot be sent: \(error.path): \(error.message)")
        }
    }

    func send(_ kind: String, _ fields: [FrameLiteral.Member], to link: Link) throws(Stop) {
        try send(.object([.init(kind, .object(fields))]), to: link)
    }

    /// Everything sent before is processed on the other side, and everything that it had sent has come.
    func barrier(_ link: Link, _ step: Step) throws(Stop) {
        nonce += 1
        let expected = nonce
        try send("ping", [.init("nonce", FrameLiteral(expected))], to: link)
        try waitFor("the Pong to Ping \(expected)", step) { () throws(Stop) in
            if let index = link.received.firstIndex(where: {
                $0.kind == "pong" && !$0.isConsumed && ($0.message["nonce"]?.number ?? 0) == expected
            }) {
                link.received[index].isConsumed = true
                return true
            }
            if link.isDone { throw .fail("the connection ended before the Pong came", rules: ["LV-1"]) }
            return false
        }
    }

    func close() {
        for link in links { link.drop() }
        for descriptor in waiting { Glibc.close(descriptor) }
        if listener >= 0 { Glibc.close(listener) }
        for process in processes { process.destroy() }
    }
}
