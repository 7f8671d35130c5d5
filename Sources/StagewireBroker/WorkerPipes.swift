import Glibc
import StagewireModel

/// Which of its two streams a worker printed a line to.
enum OutputStream: String, Sendable {
    case standardOutput = "stdout"
    case standardError = "stderr"
}

/// The pipes that a worker prints to. The caller closes both sides.
struct WorkerPipes {
    /// `nil` when standard output is the broker's own.
    let output: Pipe?
    let error: Pipe

    init(streams: StandardStreams) throws(EnvironmentError) {
        error = try Pipe()
        guard !streams.hasOutput else {
            output = nil
            return
        }
        do {
            output = try Pipe()
        } catch {
            self.error.close()
            throw error
        }
    }

    /// The reading ends.
    var sources: [(descriptor: CInt, stream: OutputStream)] {
        (output.map { [($0.reading, .standardOutput)] } ?? []) + [(error.reading, .standardError)]
    }

    func closeWriting() {
        if let output { Glibc.close(output.writing) }
        Glibc.close(error.writing)
    }

    func closeReading() {
        if let output { Glibc.close(output.reading) }
        Glibc.close(error.reading)
    }

    /// A pipe whose ends are closed on exec. Without `pipe2` there is a moment in which another thread's fork
    /// could inherit them; our own children close everything but the standard three anyway.
    struct Pipe {
        let reading: CInt
        let writing: CInt

        init() throws(EnvironmentError) {
            var ends: [CInt] = [-1, -1]
            guard pipe(&ends) == 0 else { throw EnvironmentError("cannot open a pipe for a worker", errno: errno) }
            for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
            (reading, writing) = (ends[0], ends[1])
        }

        func close() {
            Glibc.close(reading)
            Glibc.close(writing)
        }
    }
}
