import Logging
import NIOCore
import StagewireLedger
import StagewireModel

/// What a broker with a state directory begins with.
struct Restart {
    let journal: JournalLink
    let recovered: Recovered

    /// Takes the directory and reads what an earlier run has left. Blocks.
    init(
        _ state: StateDirectory, _ pipeline: PipelineDefinition, _ settings: Broker.Settings, logger: Logger,
        loop: any EventLoop
    ) throws(EnvironmentError) {
        let archive = try pipeline.retention?.archive.map { (path) throws(EnvironmentError) in
            try Archive(directory: path, source: state.path)
        }
        let opened = try state.open(pipeline, discardsOrphans: settings.discardsRemoved)
        for notice in opened.notices { logger.log(level: notice.isWarning ? .warning : .info, "\(notice.text)") }
        var fetcher = EntryFetcher(opened.disk)
        do {
            recovered = try opened.ledger.recover(pipeline, strays: opened.strays) { try fetcher.fetch($0, $1, $2) }
        } catch {
            throw state.explain(any: error)
        }
        if let text = recovered.text { logger.info("\(text)") }
        let store = JournalStore(
            opened, identity: StateDirectory.identity(of: pipeline),
            limits: pipeline.limits, retention: pipeline.retention,
            archive: archive)
        journal = JournalLink(store, isRelaxed: pipeline.durability == .relaxed, loop: loop)
    }
}

extension Recovered {
    /// What is taken up again, for the log; nil for a beginning.
    fileprivate var text: String? {
        let records = streams.reduce(0) { $0 + $1.records.count } + subscriptions.reduce(0) { $0 + $1.held.count }
        let letters = subscriptions.reduce(0) { $0 + $1.letters.count }
        let partitions = positions.reduce(0) { $0 + $1.count }
        guard records + letters + partitions + runs.count > 0 else { return nil }
        return "goes on where it stopped: \(records) record\(records == 1 ? "" : "s") in its streams, "
            + "\(letters) dead letter\(letters == 1 ? "" : "s"), \(partitions) source partition\(partitions == 1 ? "" : "s")"
    }
}
