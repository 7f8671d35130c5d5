import Glibc

/// How many files this process may have open: each worker costs two descriptors for its output and one for its
/// connection, and shells give 1,024.
enum FileLimit {
    /// As many as the broker ever asks for: far more than `Limits.connections` and two pipes for each of 1,024 workers.
    static let ceiling: rlim_t = 65_536

    /// The limits with which the process started. The first use raises the soft one, as far as the hard one allows.
    ///
    /// Workers get it back: a program that closes "all" descriptors, or uses `select`, suffers from a high one.
    static let original: rlimit = raise()

    private static let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)

    private static func raise() -> rlimit {
        var limit = rlimit()
        let status = getrlimit(resource, &limit)
        precondition(status == 0, "every Linux kernel has this limit")
        var raised = limit
        raised.rlim_cur = max(limit.rlim_cur, min(limit.rlim_max, ceiling))
        // A refusal leaves the limit as it was, which is right for a small pipeline.
        setrlimit(resource, &raised)
        return limit
    }
}
