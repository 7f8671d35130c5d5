import StagewireStage

struct SourceSettings: Decodable {
    var partition: String?
    var records: Int?
    var perEmit: Int?
    var size: Int?
    var keys: Int?
    var pauseMS: Int?
    var stay: Bool?

    enum CodingKeys: String, CodingKey {
        case partition, records, size, keys, stay
        case perEmit = "per_emit"
        case pauseMS = "pause_ms"
    }
}

extension Conformance {
    static let source = Stage.source(configuration: SourceSettings.self) { settings, source in
        let partition = try await source.claim(settings.partition ?? "p")
        let records = settings.records ?? 10
        let pause = Duration.milliseconds(settings.pauseMS ?? 0)
        var done = Int(partition.checkpointText) ?? 0
        while done < records {
            let last = min(done + max(1, settings.perEmit ?? 2), records)
            let outputs = (done + 1...last).map { number in
                var output = Output(payload: Payload.number(number, size: settings.size ?? 0))
                output.key = Array("k\(number % max(1, settings.keys ?? 3))".utf8)
                output.port = "out"
                return output
            }
            try await partition.emit(outputs, checkpoint: "\(last)")
            done = last
            if pause > .zero, done < records { try await Task.sleep(for: pause) }
        }
        // Until the library cancels it, which ends the function.
        while settings.stay ?? false { try await Task.sleep(for: .seconds(3600)) }
    }
}
