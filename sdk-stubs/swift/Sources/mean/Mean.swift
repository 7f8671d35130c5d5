import StagewireStage

struct Mean: Codable {
    var count: Int
    var mean: Double
}

@main struct Main {
    static func main() async {
        await Worker.run(
            .window(.eventTime(size: .seconds(60), lateness: .seconds(5)), byKey: true) { window, out in
                let values = try window.records.map { record in
                    guard let value = Double(try record.text()) else { throw Verdict.reject(1001, "not a number") }
                    return value
                }
                var output = try Output(
                    json: Mean(count: values.count, mean: values.reduce(0, +) / Double(values.count)))
                output.key = window.key
                output.eventTime = window.span?.lowerBound ?? 0
                out.emit(output)
            })
    }
}
