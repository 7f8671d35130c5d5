/// Whether the broker has a processor for most of the time.
struct LoadMeter {
    /// It is measured anew after this time, nanoseconds.
    private static let interval: UInt64 = 20_000_000

    private var since: UInt64 = 0
    private var had: UInt64 = 0
    private var isBusy = false

    /// For more than half of the last interval, all threads together.
    mutating func isBusy(at uptime: UInt64) -> Bool {
        guard uptime - since >= Self.interval else { return isBusy }
        let has = Clock.processTime()
        isBusy = has - had > (uptime - since) / 2
        (since, had) = (uptime, has)
        return isBusy
    }
}
