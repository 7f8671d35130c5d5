import Foundation
import StagewireConformance
import StagewireWire

/// Says how a run goes, and what came of it.
struct ConformanceReporter: Sendable {
    let format: ReportFormat
    let verbose: Bool
    let total: Int
    let style: Style

    init(_ plan: ConformancePlan, format: ReportFormat, verbose: Bool, total: Int) {
        self.format = format
        self.verbose = verbose
        self.total = total
        let environment = ProcessInfo.processInfo.environment
        let isColored = environment["NO_COLOR", default: ""].isEmpty && Terminal.canControl(2, environment)
        style = Style(isColored: isColored)
    }

    // MARK: While it runs

    /// On standard error, so that a report on standard output stays clean.
    func add(_ result: CaseResult, knownFailing: Set<String>) {
        var judged = result
        judged.isKnownFailing = knownFailing.contains(result.slug)
        guard verbose || !judged.isAsExpected else { return }
        let seconds = String(format: "%.2f s", result.seconds)
        var line = "\(result.verdict.rawValue) \(result.slug) (\(seconds))"
        if judged.isKnownFailing { line += judged.isAsExpected ? ", as is known" : ", which is listed as failing" }
        if result.verdict == .skip { line += ": \(result.message)" }
        Output.error(style.paint(line, judged.isAsExpected ? nil : .red))
    }

    // MARK: At the end

    func conclude(_ results: [CaseResult], to file: String?) throws {
        let text =
            switch format {
            case .text: ConformanceText.report(results)
            case .json: ConformanceJSON.report(results)
            case .junit: ConformanceJUnit.report(results)
            case .tap: ConformanceTAP.report(results)
            case .html: ConformanceHTML.report(results)
            }
        if let file {
            do { try (text + "\n").write(toFile: file, atomically: true, encoding: .utf8) } catch {
                throw Failure(.environment, "the report cannot be written to \(file): \(error.localizedDescription)")
            }
        } else {
            Output.text(text)
        }
        if format != .text || file != nil { Output.error(ConformanceText.summary(results)) }
    }
}

/// For people.
enum ConformanceText {
    static func report(_ results: [CaseResult]) -> String {
        let failures = results.filter { !$0.isAsExpected || $0.isKnownFailing }
        return (failures.map(details) + [summary(results)]).joined(separator: "\n")
    }

    /// `118 passed, 0 failed, 3 skipped (feature not declared)`
    static func summary(_ results: [CaseResult]) -> String {
        let passed = results.count { $0.verdict == .pass && $0.isAsExpected }
        let failed = results.count { !$0.isAsExpected }
        let known = results.count { $0.isKnownFailing && $0.isAsExpected }
        let skipped = results.filter { $0.verdict == .skip }
        var text = "\(passed) passed, \(failed) failed"
        if known > 0 { text += ", \(known) failed as is known" }
        if !skipped.isEmpty {
            let isFeature = skipped.allSatisfy { $0.message.hasPrefix("feature") }
            text += ", \(skipped.count) skipped" + (isFeature ? " (feature not declared)" : "")
        }
        return text
    }

    static func details(_ result: CaseResult) -> String {
        var lines = ["", "\(result.verdict.rawValue) \(result.slug): \(result.title)"]
        if result.verdict == .pass {
            lines.append("  it is listed as failing and passes: take it off the list")
            return lines.joined(separator: "\n")
        }
        lines.append("  \(result.message)")
        lines.append("  rules: \(result.rules.joined(separator: ", "))   step: \(result.place)")
        lines.append("  `stagewire conformance explain \(result.slug)` says what the case does")
        if !result.transcript.isEmpty {
            lines.append("  frames (<- from what is tested, -> from the suite; seconds):")
            lines += result.transcript.map { "    \($0)" }
        }
        let output = result.standardError.split(separator: "\n").suffix(12)
        if !output.isEmpty {
            lines.append("  what it printed:")
            lines += output.map { "    \(Text.escaped(String($0)))" }
        }
        return lines.joined(separator: "\n")
    }
}
