import Foundation

/// What the system says of processes.
enum Processes {
    /// Running. A zombie is gone: not every container has an init that reaps.
    static func isAlive(_ pid: pid_t) -> Bool {
        guard let state = status(pid)?.first else { return false }
        return state != "Z" && state != "X"
    }

    /// Waits for ten seconds at most until none is alive.
    static func end(_ pids: [pid_t]) async throws {
        for _ in 0..<500 {
            if !pids.contains(where: isAlive) { return }
            try await Task.sleep(for: .milliseconds(20))
        }
        throw Peer.Failure(description: "still alive: \(pids.filter(isAlive))")
    }

    /// The children of `parent` that call themselves `name`.
    static func children(of parent: pid_t, named name: String) -> [pid_t] {
        let all = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return all.compactMap { pid_t($0) }.filter { pid in
            guard let fields = status(pid), fields.count > 1, fields[1] == "\(parent)" else { return false }
            let own = try? String(contentsOfFile: "/proc/\(pid)/comm", encoding: .utf8)
            return own == name + "\n"
        }
    }

    /// State, parent, group and so on: what follows the name in /proc/pid/stat.
    private static func status(_ pid: pid_t) -> [Substring]? {
        guard let text = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8),
            let end = text.lastIndex(of: ")")
        else { return nil }
        return text[text.index(after: end)...].split(separator: " ")
    }
}
