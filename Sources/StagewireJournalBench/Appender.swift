import Glibc
import StagewireJournal

/// The process that tests kill. What it appends follows from the sequence, so that whoever reads it can tell.
public enum Appender {
    public static let identity = JournalIdentity(high: 1, low: 2)

    /// Journals of small segments, so that every part of the writer is at work when the end comes.
    public static func options(nonce: UInt64) -> JournalOptions {
        JournalOptions(identity: identity, nonce: nonce, segmentBytes: 16 * 1024)
    }

    public static func payload(_ sequence: UInt64) -> [UInt8] {
        Array("entry \(sequence) ".utf8)
            + [UInt8](repeating: UInt8(truncatingIfNeeded: sequence), count: Int(sequence % 401))
    }

    static func run(_ directory: String, limit: Int?) throws {
        var random = SystemRandomNumberGenerator()
        var writer = try JournalWriter.open(FileDisk(path: directory), options(nonce: random.next()))
        if let limit {
            signal(SIGXFSZ, SIG_IGN)
            var size = rlimit(rlim_cur: rlim_t(limit), rlim_max: rlim_t(limit))
            guard setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &size) == 0 else { fail("setrlimit") }
        }
        while true {
            var sequence = writer.next
            for _ in 0..<Int.random(in: 1...20) {
                let entry = payload(sequence)
                writer.append(kind: 1, entry.span.bytes)
                sequence += 1
            }
            do throws(JournalError) {
                let durable = try writer.flush()
                say("\(durable.sequences.upperBound)")
            } catch {
                guard case .full = error, limit != nil else { throw error }
                say("full: \(error.message)")
                return
            }
            do throws(JournalError) { try writer.prepareAhead() } catch {
                // Without room now there may be some when it is needed.
                guard case .full = error else { throw error }
            }
        }
    }
}
