import Foundation
import StagewireBroker
import StagewireModel
import StagewireRouter

/// What a run did, for a person as a table and for a program as JSON.
struct RunSummary: Encodable {
    struct Stage: Encodable {
        var name: String
        /// Workers that the host started; absent for a stage whose workers somebody else starts.
        var workers: Int?
        var isSource: Bool
        var accepted: UInt64
        var emitted: UInt64
        var filtered: UInt64
        var retried: UInt64
        var dead: UInt64
        var dropped: UInt64
        var unmatched: UInt64
        var crashes: UInt64
    }

    var pipeline: String
    /// "completed", "drained", "abandoned", "failed" or "unavailable".
    var end: String
    var seconds: Double
    var stages: [Stage]
    /// Records that were neither settled nor dead when the run ended.
    var unsettled: Int
    private let duration: Duration

    private enum CodingKeys: String, CodingKey { case pipeline, end, seconds, stages, unsettled }

    init(_ pipeline: PipelineDefinition, _ report: RunReport, duration: Duration) {
        self.pipeline = pipeline.name
        self.duration = duration
        end = Self.name(report.end)
        seconds = (duration / .milliseconds(1)).rounded() / 1000
        unsettled = report.summary.unsettled
        stages = zip(pipeline.stages, report.summary.stages).map { definition, state in
            Stage(
                name: state.name, workers: definition.launch == nil ? nil : definition.workers,
                isSource: definition.isSource, accepted: state.accepted, emitted: state.emitted,
                filtered: state.filtered, retried: state.retried, dead: state.dead, dropped: state.dropped,
                unmatched: state.unmatched, crashes: state.crashes)
        }
    }

    private static func name(_ end: RunEnd) -> String {
        switch end {
        case .completed: "completed"
        case .drained: "drained"
        case .abandoned: "abandoned"
        case .failed: "failed"
        case .unavailable: "unavailable"
        }
    }

    // MARK: For a person

    /// A column: its heading, and what stands in it for a stage. Columns that are always zero in a healthy run
    /// appear only when they are not.
    private struct Column: Sendable {
        var heading: String
        var isOptional = false
        var value: @Sendable (Stage) -> UInt64?
    }

    private static let columns = [
        Column(heading: "in") { $0.isSource ? nil : $0.accepted + $0.dead },
        Column(heading: "out") { $0.emitted },
        Column(heading: "filtered") { $0.isSource ? nil : $0.filtered },
        Column(heading: "retried") { $0.isSource ? nil : $0.retried },
        Column(heading: "dead") { $0.isSource ? nil : $0.dead },
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
            let workers = stage.workers.map { "\($0)" } ?? "external"
            rows.append([stage.name, workers] + columns.map { $0.value(stage).map(Figures.grouped) ?? "-" })
        }
        return "\(pipeline): \(end) after \(Figures.spell(duration))\n" + Self.align(rows)
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

    /// What must not be overlooked, `--quiet` or not.
    var warnings: [String] {
        var warnings: [String] = []
        for stage in stages where stage.dead > 0 {
            let records = stage.dead == 1 ? "record was" : "records were"
            warnings.append(
                "WARNING: stage \(stage.name): \(Figures.grouped(stage.dead)) \(records) given up (dead letters)")
        }
        for stage in stages where stage.dropped > 0 {
            warnings.append(
                "WARNING: stage \(stage.name): \(Figures.grouped(stage.dropped)) dropped by its overflow policy")
        }
        if unsettled > 0 {
            warnings.append(
                "WARNING: \(Figures.grouped(UInt64(unsettled))) records were not settled when the run ended; with "
                    + "durability: memory they are gone")
        }
        return warnings
    }

    // MARK: For a program

    var json: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        do {
            return String(decoding: try encoder.encode(self), as: UTF8.self)
        } catch {
            preconditionFailure("numbers and strings can be encoded: \(error)")
        }
    }
}
