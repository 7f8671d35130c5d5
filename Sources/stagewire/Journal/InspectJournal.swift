import ArgumentParser
import Glibc
import StagewireJournal

/// `stagewire journal inspect`. Text is written entry by entry, so that a journal of any size needs the memory of one; only
/// `--json` collects.
struct InspectJournal: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect", abstract: "List the entries of a journal.",
        discussion: """
            For each its sequence, the sequence with which its flush began, where it lies, and its checksum. Ends at the \
            first damage; entries in later segments are shown by --from. Changes nothing, and may be used beside a \
            running broker, which may not have made the last entries durable yet.

            Exits 0 when everything that was asked for was readable, 1 when it met damage, 2 for a wrong command line or an \
            entry that is not there, 3 when the directory cannot be read, holds no journal, or one of a newer version.

            EXAMPLES:
              stagewire journal inspect state --limit 20
              stagewire journal inspect state --from 17 --to 17 --bytes
              stagewire journal inspect state --json | jq '.result[].length'
            """)

    @OptionGroup var place: JournalPlace

    @Option(help: ArgumentHelp("Begin with this entry.", valueName: "sequence"))
    var from: UInt64?

    @Option(help: ArgumentHelp("End with this entry.", valueName: "sequence"))
    var to: UInt64?

    @Option(help: ArgumentHelp("Show so many at most.", valueName: "count"))
    var limit: Int?

    @Flag(help: "Show the payloads, too, in hexadecimal.")
    var bytes = false

    @Flag(help: "Print one JSON object with the entries as a list, for at most 16 MiB of them.")
    var json = false

    /// Bytes that `--json` collects.
    private static let largestCollection = 16 * 1024 * 1024

    func validate() throws {
        if let limit, limit < 0 { throw ValidationError("--limit is a number of entries, 0 or more.") }
        if let from, let to, from > to { throw ValidationError("--from is not behind --to.") }
    }

    func run() throws {
        let disk = try place.open()
        var listing = EntryListing(isJSON: json, withBytes: bytes, limit: Self.largestCollection)
        var failure: Failure?
        do {
            try list(disk, &listing)
        } catch let error as JournalError {
            failure = Failure(error)
        } catch let error as Failure {
            failure = error
        }
        if json { Output.json("journal inspect", listing.list, failure?.problems ?? []) }
        guard let failure else { return }
        for problem in failure.problems { Output.error(problem.text) }
        throw failure.status
    }

    private func list(_ disk: FileDisk, _ listing: inout EntryListing) throws {
        guard var reader = try open(disk) else { return }
        while listing.count < limit ?? .max, listing.isRead, let entry = try next(&reader, disk) {
            guard let position = reader.position else { preconditionFailure("an entry that was read has a place") }
            reader.withPayload { listing.add(entry, position, $0) }
            if listing.isFull {
                throw Failure(
                    .runtime, "more than 16 MiB of entries do not fit into one JSON object",
                    hint: "use --from, --to or --limit")
            }
        }
    }

    /// Nil when nothing was ever written, which is no mistake unless an entry was asked for.
    private func open(_ disk: FileDisk) throws -> JournalReader<FileDisk>? {
        if let from { return try JournalReader.open(disk, from: from) }
        while let first = try disk.names().compactMap({ JournalFormat.firstSequence(of: $0) }).min() {
            do throws(JournalError) { return try JournalReader.open(disk, from: first) } catch {
                // Removed between two looks: a broker needs it no more.
                guard case .notRetained = error else { throw error }
            }
        }
        return nil
    }

    private func next(_ reader: inout JournalReader<FileDisk>, _ disk: FileDisk) throws -> EntryHeader? {
        let end = to.map { $0 == .max ? $0 : $0 + 1 } ?? .max
        do throws(JournalError) { return try reader.advance(below: end) } catch {
            switch error {
            case .notRetained(let sequence, _):
                throw Failure(
                    .runtime, "entry \(sequence) was removed before it could be read",
                    hint: "a broker that needs it no more has removed its segment: begin again")
            case .damaged:
                // Half of what a writer is writing looks like damage; a moment later it is whole.
                guard try disk.isBeingWritten() else { throw error }
                FileDisk.waitForWriter()
                return try reader.advance(below: end)
            case _: throw error
            }
        }
    }
}
