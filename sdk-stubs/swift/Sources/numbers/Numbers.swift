import StagewireStage

struct Settings: Decodable {
    /// The last number to emit.
    var count: Int
}

@main struct Numbers {
    static func main() async {
        await Worker.run(
            .source(configuration: Settings.self) { settings, source in
                let partition = try await source.claim("numbers")
                var next = (Int(partition.checkpointText) ?? 0) + 1  // where the last run stood
                while next <= settings.count {
                    let last = min(next + 99, settings.count)
                    try await partition.emit((next...last).map { Output(text: "\($0)") }, checkpoint: "\(last)")
                    next = last + 1
                }
            })
    }
}
