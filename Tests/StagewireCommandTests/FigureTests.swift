import StagewireModel
import Testing

@testable import StagewireBroker
@testable import StagewireRouter
@testable import stagewire

/// The progress line and the summary, from the router's counters.
@Suite struct FigureTests {
    private static let pipeline = PipelineDefinition(
        name: "test",
        stages: [
            StageDefinition(name: "ingest", isSource: true),
            StageDefinition(name: "score", inputs: [InputDefinition(stage: 0)]),
            StageDefinition(name: "notify", inputs: [InputDefinition(stage: 1)]),
        ])

    private func summary(_ change: (inout PipelineSummary) -> Void = { _ in }) -> PipelineSummary {
        var summary = PipelineSummary()
        for stage in Self.pipeline.stages {
            var line = PipelineSummary.Stage()
            line.name = stage.name
            summary.stages.append(line)
        }
        change(&summary)
        return summary
    }

    private func run(_ change: (inout PipelineSummary) -> Void = { _ in }) -> RunSummary {
        let report = RunReport(end: .completed, summary: summary(change))
        return RunSummary(Self.pipeline, report, duration: .milliseconds(1234))
    }

    // MARK: Summary

    @Test func table() {
        let table = run { summary in
            summary.stages[0].emitted = 40_000
            summary.stages[1].accepted = 39_990
            summary.stages[1].emitted = 5
            summary.stages[2].accepted = 5
        }.table
        #expect(
            table == """
                test: completed after 1.2 s
                  stage    workers      in     out  filtered  retried  dead
                  ingest  external       -  40,000         -        -     -
                  score   external  39,990       5         0        0     0
                  notify  external       5       0         0        0     0
                """)
    }

    /// Ten came in: seven were accepted at once, three became dead letters, two of which were retried; one of these was
    /// accepted and one died again. One of the two that are dead was dropped by a person, one is kept.
    @Test func retriedLettersCountOnce() {
        let run = run { summary in
            summary.stages[1].accepted = 8
            summary.stages[1].dead = 4
            summary.stages[1].revived = 2
            summary.stages[1].deadLetters = 1
        }
        #expect(run.stages[1].in == 10)
        let lines = run.table.split(separator: "\n").map { $0.split(whereSeparator: \.isWhitespace) }
        #expect(lines[1].suffix(3) == ["dead", "revived", "kept"])
        #expect(lines[3] == ["score", "external", "10", "0", "0", "0", "2", "2", "1"])
        #expect(
            run.warnings == [
                "stage score: 4 records were given up (dead letters), 2 of them retried since; "
                    + "with durability: memory 1 letter went with the broker"
            ])
    }

    @Test func warnings() {
        #expect(run().warnings == [])
        let warnings = run { summary in
            summary.stages[1].dropped = 1200
            summary.stages[2].queued = 1
        }.warnings
        #expect(warnings[0] == "stage score: 1,200 dropped by its overflow policy")
        #expect(
            warnings[1]
                == "1 record was not settled when the run ended; with durability: memory what is unsettled is gone")
    }

    // MARK: Progress

    @Test func rate() {
        var meter = ProgressMeter(Self.pipeline)
        let first = meter.measure(summary { $0.stages[0].emitted = 1000 }, after: .seconds(2)).0
        #expect(first.recordsPerSecond == 500)
        let second = meter.measure(summary { $0.stages[0].emitted = 1600 }, after: .seconds(4)).0
        #expect(second.recordsPerSecond == 300)
    }

    @Test("nothing new is noticed, whatever the time")
    func change() {
        var meter = ProgressMeter(Self.pipeline)
        #expect(meter.measure(summary(), after: .seconds(30)).hasChanged, "the first line is news")
        #expect(!meter.measure(summary(), after: .seconds(60)).hasChanged)
        #expect(meter.measure(summary { $0.stages[1].queued = 1 }, after: .seconds(90)).hasChanged)
        #expect(!meter.measure(summary { $0.stages[1].queued = 1 }, after: .seconds(120)).hasChanged)
    }

    @Test("a line is never wider than the terminal, and says as much as fits")
    func width() {
        var meter = ProgressMeter(Self.pipeline)
        let progress = meter.measure(
            summary { summary in
                summary.stages[0].emitted = 123_456
                summary.stages[1].accepted = 100_000
                summary.stages[1].inFlight = 12
                summary.stages[1].queued = 23_444
                summary.stages[1].deadLetters = 3
            }, after: .seconds(65)
        ).0
        #expect(
            progress.line(width: 200)
                == "01:05 | ingest 123,456  score 100,000  notify 0 | 1,899 records/s in | "
                + "12 in flight, 23,444 queued | 3 dead letters")
        #expect(
            progress.line(width: 79)
                == "01:05 | 1,899 records/s in | 12 in flight, 23,444 queued | 3 dead letters")
        #expect(progress.line(width: 50) == "01:05 | 1,899 records/s in | 3 dead letters")
        #expect(progress.line(width: 10) == "01:05")
        for width in 0..<150 { #expect(progress.line(width: width).count <= width) }
    }
}
