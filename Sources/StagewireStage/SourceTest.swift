import StagewireModel
import StagewireWire
import Synchronization

/// A source without a broker: it runs from empty checkpoints, and what it emits is printed.
enum SourceTest {
    static func run(_ function: @escaping SourceHandler, limit: Int) async -> Int32 {
        let printer = Printer(limit: limit)
        let source = Source(testing: printer)
        let task = Task { try await function(source) }
        printer.task.withLock { $0 = task }
        do {
            try await task.value
        } catch is CancellationError {
        } catch {
            Complaint.write("the source failed: \(error)")
            return 1
        }
        _ = Socket.writeFile(Array("\(printer.count) records\n".utf8), to: 2)
        return 0
    }

    /// Prints at most `limit` records, then has the source stop as a shutdown would.
    final class Printer: Sendable {
        private let limit: Int
        private let printed = Mutex(0)
        let task = Mutex<Task<Void, any Error>?>(nil)

        init(limit: Int) { self.limit = limit }

        var count: Int { printed.withLock { $0 } }

        func print(_ outputs: [Output]) throws {
            let isFull = printed.withLock { printed in
                for output in outputs where printed < limit {
                    _ = Socket.writeFile(RecordJSON.write(output) + [0x0a], to: 1)
                    printed += 1
                }
                return printed >= limit
            }
            guard isFull else { return }
            task.withLock { $0 }?.cancel()
            throw CancellationError()
        }
    }
}
