import StagewireStage

struct WindowSettings: Decodable {
    var records: Int?
    var seconds: Double?
    var byKey: Bool?

    enum CodingKeys: String, CodingKey {
        case records, seconds
        case byKey = "by_key"
    }

    /// 0 stands for no such bound.
    var bounds: WindowBounds {
        let (records, seconds) = (self.records ?? 3, self.seconds ?? 0)
        return WindowBounds(
            records: records > 0 ? records : nil, time: seconds > 0 ? .seconds(seconds) : nil, byKey: byKey ?? false)
    }
}

extension Conformance {
    private static let instructions = ["reject", "retry", "release", "wait"]

    static let window = Stage.asyncWindow(configuration: WindowSettings.self) { settings in
        (
            settings.bounds,
            { window, out in
                let texts = try window.records.map { try $0.text() }
                if let text = texts.first(where: { text in instructions.contains(where: text.hasPrefix) }) {
                    try await Directive(text).conclude()
                }
                var output = Output(text: texts.joined(separator: ","))
                output.key = window.key
                output.port = "out"
                out.emit(output)
            }
        )
    }
}
