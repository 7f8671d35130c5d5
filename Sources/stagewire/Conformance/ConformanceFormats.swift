import Foundation
import StagewireConformance

/// For programs.
enum ConformanceJSON {
    struct Item: Encodable {
        var name: String
        var title: String
        var role: String
        var profile: String
        var verdict: String
        var expected: Bool
        var rules: [String]
        var seconds: Double
        var message: String?
        var step: String?
        var frames: [String]?
        var output: String?
    }

    struct Report: Encodable {
        var passed: Int
        var failed: Int
        var skipped: Int
        var cases: [Item]
    }

    static func report(_ results: [CaseResult]) -> String {
        let items = results.map { result in
            Item(
                name: result.slug, title: result.title, role: result.role.rawValue, profile: result.profile.rawValue,
                verdict: result.verdict.rawValue, expected: result.isAsExpected, rules: result.rules,
                seconds: (result.seconds * 1000).rounded() / 1000,
                message: result.message.isEmpty ? nil : result.message,
                step: result.place.isEmpty ? nil : result.place,
                frames: result.transcript.isEmpty ? nil : result.transcript,
                output: result.standardError.isEmpty ? nil : result.standardError)
        }
        let report = Report(
            passed: results.count { $0.verdict == .pass && $0.isAsExpected },
            failed: results.count { !$0.isAsExpected }, skipped: results.count { $0.verdict == .skip }, cases: items)
        return JSONText.pretty(
            Envelope(command: "conformance run", ok: report.failed == 0, result: report, errors: nil))
    }
}

/// The XML that build servers read.
enum ConformanceJUnit {
    static func report(_ results: [CaseResult]) -> String {
        let failed = results.count { !$0.isAsExpected && $0.verdict != .crash }
        let errors = results.count { !$0.isAsExpected && $0.verdict == .crash }
        let skipped = results.count { $0.verdict == .skip }
        let seconds = results.reduce(0) { $0 + $1.seconds }
        var lines = [
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>",
            "<testsuite name=\"stagewire conformance\" tests=\"\(results.count)\" failures=\"\(failed)\" "
                + "errors=\"\(errors)\" skipped=\"\(skipped)\" time=\"\(time(seconds))\">",
        ]
        for result in results {
            let name = "classname=\"\(result.role.rawValue).\(result.profile.rawValue)\" name=\"\(result.slug)\""
            lines.append("  <testcase \(name) time=\"\(time(result.seconds))\">")
            if let inner = inner(result) { lines.append(inner) }
            lines.append("  </testcase>")
        }
        return (lines + ["</testsuite>"]).joined(separator: "\n")
    }

    private static func inner(_ result: CaseResult) -> String? {
        if result.verdict == .skip { return "    <skipped message=\"\(escaped(result.message))\"/>" }
        guard !result.isAsExpected else { return nil }
        let element = result.verdict == .crash ? "error" : "failure"
        let type = result.rules.joined(separator: " ")
        return "    <\(element) type=\"\(escaped(type))\" message=\"\(escaped(result.message))\">"
            + "\(escaped(ConformanceText.details(result)))</\(element)>"
    }

    private static func time(_ seconds: Double) -> String { String(format: "%.3f", seconds) }

    /// XML 1.0 has no control characters, not even escaped.
    static func escaped(_ text: String) -> String {
        let allowed = String(
            String.UnicodeScalarView(text.unicodeScalars.filter { $0.value >= 0x20 || $0 == "\n" || $0 == "\t" }))
        return allowed.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
            .replacing("\"", with: "&quot;")
    }
}

/// The Test Anything Protocol, version 13.
enum ConformanceTAP {
    static func report(_ results: [CaseResult]) -> String {
        var lines = ["TAP version 13", "1..\(results.count)"]
        for (index, result) in results.enumerated() {
            let isGood = result.verdict == .pass || result.verdict == .skip
            var line = "\(isGood ? "ok" : "not ok") \(index + 1) - \(result.slug)"
            if result.verdict == .skip { line += " # SKIP \(result.message)" }
            if result.isKnownFailing { line += " # TODO listed as failing" }
            lines.append(line)
            guard !isGood else { continue }
            lines += [
                "  ---", "  verdict: \(result.verdict.rawValue)", "  rules: [\(result.rules.joined(separator: ", "))]",
            ]
            lines += ["  message: \(JSONText.line(result.message))", "  step: \(JSONText.line(result.place))", "  ..."]
        }
        return lines.joined(separator: "\n")
    }
}

/// One page, without anything from elsewhere.
enum ConformanceHTML {
    static func report(_ results: [CaseResult]) -> String {
        let rows = results.map { result in
            let details =
                result.verdict == .pass || result.verdict == .skip
                ? ""
                : "<details><summary>\(escaped(result.message))</summary><pre>\(escaped(ConformanceText.details(result)))</pre></details>"
            let note = result.verdict == .skip ? escaped(result.message) : details
            return """
                <tr class="\(result.isAsExpected ? result.verdict.rawValue.lowercased() : "bad")"><td>\
                \(result.verdict.rawValue)</td><td><code>\(result.slug)</code><br>\(escaped(result.title))</td><td>\
                \(result.profile.rawValue)</td><td>\(result.rules.joined(separator: " "))</td><td>\
                \(String(format: "%.2f", result.seconds))</td><td>\(note)</td></tr>
                """
        }
        return """
            <!doctype html>
            <html lang="en"><head><meta charset="utf-8"><title>Stagewire conformance</title><style>
            body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:76rem;padding:0 1rem;color:#1b1b1b}
            table{border-collapse:collapse;width:100%}td,th{padding:.35rem .6rem;border-bottom:1px solid #ddd;\
            text-align:left;vertical-align:top}
            tr.pass td:first-child{color:#176b2c}tr.skip td{color:#666}tr.bad td:first-child{color:#b00020;font-weight:600}
            pre{white-space:pre-wrap;font-size:12px;background:#f6f6f4;padding:.6rem}code{font-size:13px}
            </style></head><body><h1>Stagewire conformance</h1><p>\(ConformanceText.summary(results))</p>
            <table><tr><th>verdict</th><th>case</th><th>profile</th><th>rules</th><th>seconds</th><th></th></tr>
            \(rows.joined(separator: "\n"))
            </table></body></html>
            """
    }

    private static func escaped(_ text: String) -> String { ConformanceJUnit.escaped(text) }
}
