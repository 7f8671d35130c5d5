// Nanoseconds per record of the work that the broker does for each one, outside of sockets and routing.
// `swift run -c release StagewireRecordBench [rounds]` prints the median and the best of 25 samples.
import StagewireModel
import StagewireRecord

/// One `Settle` of 512 outcomes, each with one output of 142 bytes: schema, version, key, event time and a
/// payload of 100 bytes.
struct Workload {
    static let count = 512
    let frame: [UInt8]
    let output: [UInt8]

    init() {
        var header: [UInt8] = [0x0a, 10] + Array("sensor.raw".utf8) + [0x10, 1]
        header += [0x1a, 13] + Array("sensor-000123".utf8)
        header += [0x21, 1, 2, 3, 4, 5, 6, 7, 8]
        output = [0x12, UInt8(header.count)] + header + [0x1a, 100] + [UInt8](repeating: 0x78, count: 100)
        precondition(output.count == 142, "the workload that the figures are published for")
        var frame: [UInt8] = []
        for number in 1...Workload.count {
            let emission = [0x1a] + varint(output.count) + output
            let outcome = [0x08] + varint(number) + [0x18, 1, 0x22] + varint(emission.count) + emission
            frame += [0x0a] + varint(outcome.count) + outcome
        }
        self.frame = frame
    }
}

func varint(_ value: Int) -> [UInt8] {
    value < 128 ? [UInt8(value)] : [UInt8(value & 0x7f | 0x80)] + varint(value >> 7)
}

/// A transform's way through the broker: scanned, identified, stamped, appended, copied out, released.
struct Relay {
    let origin = OriginID(pipeline: "bench", stage: "transform", port: "out")
    let stamp = LineageStamp()
    var batch = StepBatch()
    var input = StreamLog()
    var output = StreamLog()
    var socket = [UInt8](repeating: 0, count: 1024 * 1024)

    init(_ work: Workload) {
        let source = OriginID(pipeline: "bench", stage: "source", partition: "p")
        for number in 0..<Workload.count {
            let id = source.source(emitID: 1, ordinal: UInt64(number))
            stamp.source(id: id, trace: [UInt8]().span.bytes, ingestTime: 1_700_000_000_000_000, run: 1)
            _ = input.append(stamp, output: work.output.span.bytes, keyHash: 7)
        }
    }

    mutating func scan(_ frame: RawSpan) {
        do { try batch.scanSettle(frame, at: 0..<frame.byteCount) } catch { fatalError(error.message) }
        precondition(batch.emissions.count == Workload.count && batch.emissions[0].fault == nil, "all are accepted")
    }

    /// Everything but the scan.
    mutating func relay(_ frame: RawSpan) {
        for outcome in batch.outcomes {
            let parent = input.ref(outcome.first - 1)
            for index in outcome.emissions {
                let emission = batch.emissions[index]
                let id = origin.derived(parent: parent.id, ordinal: 0)
                stamp.derived(id: id, parent: parent, run: 2, attempt: 1, wall: 1_700_000_000_000_250)
                let bytes = frame.extracting(emission.output.range)
                _ = output.append(stamp, output: bytes, keyHash: emission.keyHash)
            }
        }
        copyOut()
    }

    /// Coalesces adjacent records, as a `Deliver` does, and copies the ranges.
    private mutating func copyOut() {
        socket.withUnsafeMutableBytes { socket in
            var written = 0
            var sequence = output.tail
            while sequence < output.end {
                let first = output.ref(sequence)
                var length = first.wireLength
                sequence += 1
                while sequence < output.end {
                    let next = output.ref(sequence)
                    guard next.start == first.start + length else { break }
                    length += next.wireLength
                    sequence += 1
                }
                (socket.baseAddress! + written).copyMemory(from: first.start, byteCount: length)
                written += length
            }
        }
        output.release(before: output.end)
    }
}

/// Nanoseconds per record over 25 samples, sorted.
func measure(rounds: Int, _ body: () -> Void) -> [Double] {
    let clock = ContinuousClock()
    body()
    return (0..<25).map { _ in
        let elapsed = clock.measure { for _ in 0..<rounds { body() } }
        return Double(elapsed.nanoseconds) / Double(rounds * Workload.count)
    }.sorted()
}

func report(_ name: String, _ samples: [Double]) {
    func text(_ value: Double) -> String { "\(Double(Int(value * 10 + 0.5)) / 10)" }
    print("\(name): median \(text(samples[samples.count / 2])) ns, best \(text(samples[0])) ns per record")
}

func run(rounds: Int) {
    let work = Workload()
    var relay = Relay(work)
    report("scan", measure(rounds: rounds) { relay.scan(work.frame.span.bytes) })
    report("id + stamp + append + copy out", measure(rounds: rounds) { relay.relay(work.frame.span.bytes) })
    report(
        "all of it",
        measure(rounds: rounds) {
            relay.scan(work.frame.span.bytes)
            relay.relay(work.frame.span.bytes)
        })
}

run(rounds: CommandLine.arguments.dropFirst().first.flatMap { Int($0) } ?? 400)
