// The journal on a real disk.
//
//   StagewireJournalBench [bench] DIRECTORY [SECONDS]   records per second by the size of a group
//   StagewireJournalBench append DIRECTORY [LIMIT]      appends until it is killed, one line for each flush; LIMIT is the
//                                                       largest file that it may make, as a full disk would be
import Glibc
import StagewireJournal

func fail(_ text: String) -> Never {
    say("StagewireJournalBench: \(text)", to: STDERR_FILENO)
    exit(1)
}

/// A line, at once and without a buffer: whoever reads it may kill this process on its account.
func say(_ text: String, to descriptor: Int32 = STDOUT_FILENO) {
    let line = Array((text + "\n").utf8)
    _ = line.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
}

let arguments = Array(CommandLine.arguments.dropFirst())
do {
    switch arguments.first {
    case "append" where (2...3).contains(arguments.count):
        try Appender.run(arguments[1], limit: arguments.count > 2 ? Int(arguments[2]) : nil)
    case "bench" where (2...3).contains(arguments.count):
        try Bench.run(arguments[1], seconds: arguments.count > 2 ? Double(arguments[2]) ?? 2 : 2)
    case let directory? where arguments.count <= 2:
        try Bench.run(directory, seconds: arguments.count > 1 ? Double(arguments[1]) ?? 2 : 2)
    default: fail("[bench] DIRECTORY [SECONDS] | append DIRECTORY [LIMIT]")
    }
} catch let error as JournalError {
    fail(error.message)
} catch let error as DiskError {
    fail(error.message)
} catch {
    fail("\(error)")
}
