import StagewireControl
import StagewireWire

/// `GET /v1/status` for a person: a line about the pipeline, a table of its stages, and what is the matter.
struct StatusView {
    var status: PipelineStatus
    /// An answer from before, to tell rates from.
    var before: PipelineStatus?

    func lines(width: Int = .max, style: Style = Style(isColored: false)) -> [String] {
        [header] + table.lines(width: width, style: style) + remarks.map { style.paint($0.text, $0.colour) }
    }

    // MARK: The pipeline

    private var header: String {
        let time = Figures.spell(.milliseconds(Int64(status.uptimeSeconds * 1000)))
        var parts = ["\(status.pipeline): \(state), up \(time)", "durability \(status.durability)"]
        parts.append("\(Figures.bytes(status.bytes)) in records")
        return parts.joined(separator: ", ")
    }

    private var state: String {
        switch status.state {
        case .running: return "running"
        case .draining:
            let left = status.drainSeconds.map { " (at most \(Figures.spell(.milliseconds(Int64($0 * 1000)))) more)" }
            return "draining" + (left ?? "")
        case .ending: return "ending"
        }
    }

    // MARK: Stages

    private struct Column {
        var heading: String
        /// As in `TextTable.Column`.
        var rank: Int?
        var isText = false
        /// Left out when it is zero everywhere.
        var isOptional = false
        var cell: (StageStatus) -> TextTable.Cell
    }

    private func number(
        _ heading: String, _ rank: Int?, isOptional: Bool = false, colour: Style.Colour? = nil,
        _ value: @escaping (StageStatus) -> UInt64?
    ) -> Column {
        Column(heading: heading, rank: rank, isOptional: isOptional) { stage in
            guard let number = value(stage) else { return .init("-") }
            return .init(Figures.grouped(number), number > 0 ? colour : nil)
        }
    }

    private func ofInput(_ value: @escaping (StageStatus) -> UInt64) -> (StageStatus) -> UInt64? {
        { $0.kind == .source ? nil : value($0) }
    }

    private var columns: [Column] {
        var columns = [
            Column(heading: "stage", isText: true) { .init(Text.escaped($0.name)) },
            Column(heading: "version", rank: 1, isText: true) { .init(Self.versions($0)) },
            Column(heading: "workers", rank: 9) { .init(Self.workers($0)) },
            number("in", nil, ofInput { $0.in }),
            number("out", nil) { $0.out },
        ]
        if let before { columns += rates(since: before) }
        columns += [
            number("filtered", 3, ofInput { $0.filtered }),
            number("retried", 6, colour: .yellow, ofInput { $0.retried }),
            number("dead", 10, colour: .red, ofInput { $0.dead }),
            number("in flight", 7, ofInput { UInt64($0.inFlight) }),
            Column(heading: "credit", rank: 2) { .init($0.kind == .source ? "-" : Figures.short($0.creditRecords)) },
            Column(heading: "queue", rank: 8) { stage in
                if stage.kind == .source { return .init("-") }
                return .init(Figures.grouped(UInt64(stage.queued)), stage.obstacle == nil ? nil : .yellow)
            },
            number("unmatched", 0, isOptional: true) { $0.unmatched },
            number("dropped", 5, isOptional: true) { $0.dropped },
            number("crashes", 4, isOptional: true) { $0.crashes },
        ]
        return columns.filter { column in
            !column.isOptional || status.stages.contains { column.cell($0).text != "0" }
        }
    }

    private var table: TextTable {
        let columns = columns
        return TextTable(
            columns: columns.map { .init(heading: $0.heading, isText: $0.isText, rank: $0.rank) },
            rows: status.stages.map { stage in columns.map { $0.cell(stage) } })
    }

    private func rates(since before: PipelineStatus) -> [Column] {
        let time = status.uptimeSeconds - before.uptimeSeconds
        let old = Dictionary(before.stages.map { ($0.name, $0) }) { first, _ in first }
        func rate(_ counter: @escaping (StageStatus) -> UInt64) -> (StageStatus) -> UInt64? {
            { stage in
                guard time > 0, let old = old[stage.name], counter(stage) >= counter(old) else { return nil }
                return UInt64((Double(counter(stage) - counter(old)) / time).rounded())
            }
        }
        let taken = rate { $0.in }
        return [number("in/s", 11) { $0.kind == .source ? nil : taken($0) }, number("out/s", 12, rate { $0.out })]
    }

    private static func versions(_ stage: StageStatus) -> String {
        var versions: [String] = []
        for worker in stage.workers {
            guard let version = worker.version, !version.isEmpty, !versions.contains(version) else { continue }
            versions.append(version)
        }
        return versions.isEmpty ? "-" : Text.escaped(versions.joined(separator: ","), limit: 24)
    }

    /// Attached ones, of how many that the broker keeps running.
    private static func workers(_ stage: StageStatus) -> String {
        let attached = stage.workers.count { $0.state == .attached }
        return stage.workersWanted.map { "\(attached)/\($0)" } ?? "\(attached)"
    }

    // MARK: What is the matter

    private var remarks: [TextTable.Cell] {
        status.stages.flatMap { stage -> [TextTable.Cell] in
            var remarks: [TextTable.Cell] = []
            if let breaker = stage.breaker { remarks.append(.init(Self.text(breaker, stage), .red)) }
            if let obstacle = stage.obstacle, obstacle != .breakerOpen {
                remarks.append(.init(Self.text(obstacle, stage), .yellow))
            }
            if stage.deadLetters > 0, stage.obstacle != .deadLettersFull {
                let letters = Figures.count(stage.deadLetters, "dead letter")
                remarks.append(.init("\(stage.name) has \(letters): stagewire dead-letters list --stage \(stage.name)"))
            }
            return remarks + stage.workers.compactMap { Self.text($0, stage).map { .init($0, .yellow) } }
        }
    }

    private static func text(_ breaker: StageStatus.Breaker, _ stage: StageStatus) -> String {
        let waits = stage.queued > 0 ? " with \(Figures.count(stage.queued, "record")) waiting" : ""
        let share = breaker.most == breaker.dead ? "all" : "\(breaker.most)"
        let why =
            "\(breaker.dead) of its last \(Figures.count(breaker.of, "record")) were given up on, \(share) of them "
            + "\(breaker.reason) (the last one: \(Text.escaped(breaker.error.message, limit: 120)))"
        let resume = "stagewire resume \(stage.name)"
        switch breaker.state {
        case .open:
            let seconds = Figures.spell(.milliseconds(Int64((breaker.seconds ?? 0) * 1000)))
            return "\(stage.name) is paused\(waits): \(why); it tries again in \(seconds), or at once: \(resume)"
        case .trying: return "\(stage.name) tries a few records\(waits): \(why); all at once: \(resume)"
        }
    }

    private static func text(_ obstacle: StageStatus.Obstacle, _ stage: StageStatus) -> String {
        let waits = "\(stage.name) waits with \(Figures.count(stage.queued, "record")): "
        switch obstacle {
        case .noWorker:
            return waits + "no worker is attached" + (stage.workersWanted == nil ? "; somebody else starts them" : "")
        case .noCredit: return waits + "its workers take nothing more for now (no credit)"
        case .outputFull: return waits + "what it emits is not taken fast enough by the stages behind it"
        case .parkingFull: return waits + "too many records stand behind keys that are retried"
        case .breakerOpen: return waits + "too many of its last records were given up on"
        case .deadLettersFull:
            return waits + "its \(Figures.count(stage.deadLetters, "dead letter")) leave no room; retry or drop some: "
                + "stagewire dead-letters list --stage \(stage.name)"
        }
    }

    private static func text(_ worker: WorkerStatus, _ stage: StageStatus) -> String? {
        let name = Text.escaped("\(stage.name)/\(worker.instance)")
        let exit = worker.lastExit.map { Text.escaped($0) }
        switch worker.state {
        case .attached, .ended: return nil
        case .starting:
            return exit.map { "\(name) starts again: it \($0)" } ?? "\(name) runs and has not attached yet"
        case .detached: return "\(name) runs without a session"
        case .waiting: return "\(name) starts again in a moment" + (exit.map { ": it \($0)" } ?? "")
        }
    }
}
