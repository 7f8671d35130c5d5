import CWorkerHost
import Glibc
import StagewireModel

/// A stage's limits as the kernel takes them.
enum ResourceLimits {
    /// From SIGXCPU, which a program can handle to finish what it does, to SIGKILL: seconds of processor time.
    private static let farewell: UInt64 = 5

    static func of(_ limits: ProcessLimits) -> [sw_limit] {
        var all: [sw_limit] = []
        let add = { (resource: Int32, soft: UInt64, hard: UInt64) in
            all.append(sw_limit(resource: resource, soft: soft, hard: hard))
        }
        let addBoth = { (resource: Int32, value: Int?) in
            if let value { add(resource, UInt64(clamping: value), UInt64(clamping: value)) }
        }
        addBoth(number(RLIMIT_FSIZE), limits.fileSize)
        addBoth(number(RLIMIT_CORE), limits.coreSize)
        addBoth(number(RLIMIT_NOFILE), limits.openFiles)
        if limits.openFiles == nil {
            let original = FileLimit.original
            add(number(RLIMIT_NOFILE), UInt64(original.rlim_cur), UInt64(original.rlim_max))
        }
        if let time = limits.cpuTime {
            let seconds = UInt64(clamping: max(1, time.components.seconds))
            // A hard limit cannot rise, but there may be one between the two.
            let hard = max(seconds, min(seconds + farewell, own(RLIMIT_CPU)))
            add(number(RLIMIT_CPU), seconds, hard)
        }
        // Last: whatever is set after it has to fit into it.
        addBoth(number(RLIMIT_AS), limits.addressSpace)
        return all
    }

    /// What a person calls it.
    static func name(_ resource: Int32) -> String {
        switch resource {
        case number(RLIMIT_FSIZE): "file size"
        case number(RLIMIT_CORE): "core dump size"
        case number(RLIMIT_NOFILE): "open files"
        case number(RLIMIT_CPU): "processor time"
        case number(RLIMIT_AS): "address space"
        default: "resource \(resource)"
        }
    }

    /// The broker's own hard limit.
    static func own(_ resource: Int32) -> UInt64 {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(UInt32(resource)), &limit)
        return UInt64(limit.rlim_max)
    }

    private static func own(_ resource: __rlimit_resource) -> UInt64 { own(number(resource)) }

    private static func number(_ resource: __rlimit_resource) -> Int32 { Int32(resource.rawValue) }
}
