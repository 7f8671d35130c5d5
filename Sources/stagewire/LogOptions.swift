import ArgumentParser
import Foundation

enum ColorChoice: String, ExpressibleByArgument, CaseIterable {
    case auto, always, never

    /// Whether what goes to `descriptor` is coloured. `auto`: a terminal that can, and nobody who objects
    /// (https://no-color.org).
    func isColored(_ descriptor: Int32, environment: [String: String]) -> Bool {
        switch self {
        case .always: true
        case .never: false
        case .auto: Terminal.canControl(descriptor, environment) && (environment["NO_COLOR"] ?? "").isEmpty
        }
    }
}

extension Style {
    /// For what is written to `descriptor`.
    static func of(_ descriptor: Int32) -> Style {
        Style(isColored: ColorChoice.auto.isColored(descriptor, environment: ProcessInfo.processInfo.environment))
    }
}

enum LogFormat: String, ExpressibleByArgument, CaseIterable {
    /// Lines for people.
    case text
    /// One JSON object per line, for log collectors.
    case json
}

/// How standard error looks.
struct LogOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "When standard error is coloured.",
            discussion: "auto: on a terminal, unless NO_COLOR is set or TERM is dumb.", valueName: "when"))
    var color = ColorChoice.auto

    @Option(
        help: ArgumentHelp(
            "What standard error looks like.",
            discussion: "text: for people. json: one object per line with time, level, message, stage, instance and "
                + "stream; the run's start, progress and end are lines with an event.",
            valueName: "format"))
    var logFormat = LogFormat.text

    @Flag(help: "Print warnings and errors only.")
    var quiet = false
}
