import Foundation

/// Threads for what blocks, off Swift's own small pool.
enum OwnThread {
    /// Runs `work` on a new thread.
    static func run<Result: Sendable>(_ work: @escaping @Sendable () -> Result) async -> Result {
        await withCheckedContinuation { continuation in
            Thread.detachNewThread { continuation.resume(returning: work()) }
        }
    }

    /// Starts a thread whose end can be awaited.
    static func start(_ work: @escaping @Sendable () -> Void) -> Task<Void, Never> {
        Task { await run(work) }
    }
}
