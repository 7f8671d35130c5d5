import StagewireBroker
import StagewireModel
import StagewireRouter

/// What a run did, for a person as a table and for a program as JSON.
struct RunSummary: Encodable, Equatable {
    var pipeline: String
    /// "completed", "drained", "stopped", "abandoned", "failed" or "unavailable".
    var end: String
    var seconds: Double
    var stages: [StageFigures]
    /// Records that were neither settled nor dead when the run ended.
    var unsettled: Int
    private let duration: Duration
    private let durability: Durability

    private enum CodingKeys: String, CodingKey { case pipeline, end, seconds, stages, unsettled }

    init(_ pipeline: PipelineDefinition, _ report: RunReport, duration: Duration) {
        self.pipeline = pipeline.name
        self.duration = duration
        durability = pipeline.durability
        end = Self.name(report.end)
        seconds = (duration / .milliseconds(1)).rounded() / 1000
        unsettled = report.summary.unsettled
        stages = StageFigures.all(pipeline, report.summary)
    }

    private static func name(_ end: RunEnd) -> String {
        switch end {
        case .completed: "completed"
        case .drained: "drained"
        case .stopped: "stopped"
        case .abandoned: "abandoned"
        case .failed: "failed"
        case .unavailable: "unavailable"
        }
    }

    var headline: String { "\(pipeline): \(end) after \(Figures.spell(duration))" }

    // MARK: The table

    /// A column: its heading, and what stands in it for a stage. Columns that are always zero in a healthy run
    /// appear only when they are not.
    private struct Column: Sendable {
        var heading: String
        var isOptional = false
        var value: @Sendable (StageFigures) -> UInt64?
    }

    /// What came in was accepted or is dead, so a letter that was retried leaves the column of the dead.
    private static let columns = [
        Column(heading: "in") { $0.isSource ? nil : $0.in },
        Column(heading: "out") { $0.out },
        Column(heading: "filtered") { $0.isSource ? nil : $0.filtered },
        Column(heading: "retried") { $0.isSource ? nil : $0.retried },
        Column(heading: "dead") { $0.isSource ? nil : $0.dead - $0.revived },
        Column(heading: "revived", isOptional: true) { $0.isSource ? nil : $0.revived },
        Column(heading: "kept", isOptional: true) { $0.isSource ? nil : UInt64($0.deadLetters) },
        Column(heading: "unmatched", isOptional: true) { $0.unmatched },
        Column(heading: "dropped", isOptional: true) { $0.dropped },
        Column(heading: "crashes", isOptional: true) { $0.crashes },
    ]

    var table: String {
        let columns = Self.columns.filter { column in
            !column.isOptional || stages.contains { (column.value($0) ?? 0) > 0 }
        }
        var rows = [["stage", "workers"] + columns.map(\.heading)]
        for stage in stages {
            let workers = stage.workersWanted.map { "\($0)" } ?? "external"
            rows.append([stage.name, workers] + columns.map { $0.value(stage).map(Figures.grouped) ?? "-" })
        }
        return headline + "\n" + Self.align(rows)
    }

    private static func align(_ rows: [[String]]) -> String {
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            "  "
                + row.enumerated().map { column, cell in
                    let space = String(repeating: " ", count: widths[column] - cell.count)
                    return column == 0 ? cell + space : space + cell
                }.joined(separator: "  ")
        }.joined(separator: "\n")
    }

    // MARK: Warnings

    /// What must not be overlooked, `--quiet` or not.
    var warnings: [String] {
        var warnings = stages.filter { $0.dead > 0 }.map(dead)
        for stage in stages where stage.dropped > 0 {
            warnings.append("stage \(stage.name): \(Figures.grouped(stage.dropped)) dropped by its overflow policy")
        }
        for stage in stages {
            guard let error = stage.pausedBy else { continue }
            warnings.append(
                "stage \(stage.name): was paused by its breaker when the run ended; the last error: \(error)")
        }
        if unsettled > 0 {
            let records = unsettled == 1 ? "record was" : "records were"
            warnings.append(
                "\(Figures.grouped(UInt64(unsettled))) \(records) not settled when the run ended"
                    + (isVolatile
                        ? "; with durability: memory what is unsettled is gone"
                        : "; the next run goes on with \(unsettled == 1 ? "it" : "them")"))
        }
        return warnings
    }

    private func dead(_ stage: StageFigures) -> String {
        var text = "stage \(stage.name): \(Figures.grouped(stage.dead)) "
        text += (stage.dead == 1 ? "record was" : "records were") + " given up (dead letters)"
        if stage.revived > 0 { text += ", \(Figures.grouped(stage.revived)) of them retried since" }
        if stage.deadLetters > 0, isVolatile {
            let letters = stage.deadLetters == 1 ? "1 letter" : "\(Figures.grouped(UInt64(stage.deadLetters))) letters"
            text += "; with durability: memory \(letters) went with the broker"
        }
        return text
    }

    private var isVolatile: Bool {
        switch durability {
        case .memory: true
        case .relaxed, .disk: false
        }
    }
}
