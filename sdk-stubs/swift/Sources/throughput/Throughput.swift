import Foundation
import Glibc
import StagewireStage

// Records per second of the SDK alone: a worker in a process of its own, against a broker that only copies
// prepared bytes and counts settlements.
//
//     swift run -c release throughput [forward|rewrite|discard] [RECORDS]

@main struct Throughput {
    static func main() async {
        let arguments = CommandLine.arguments.dropFirst()
        let environment = ProcessInfo.processInfo.environment
        let kind = environment["THROUGHPUT"] ?? arguments.first ?? "forward"
        if environment["STAGEWIRE_SOCKET"] != nil { await Worker.run(stage(kind)) }
        let records = arguments.dropFirst().first.flatMap { Int($0) } ?? 2_000_000
        let elapsed = IdleBroker(kind).measure(records)
        var usage = rusage()
        getrusage(RUSAGE_CHILDREN.rawValue, &usage)
        let cpu = seconds(of: usage.ru_utime) + seconds(of: usage.ru_stime)
        let rate = Int(Double(records) / elapsed / 1000)
        print(
            "\(kind): \(records) records, \(rate),000 records/s, \(round(cpu / Double(records) * 1e8) / 100) us CPU each"
        )
    }

    private static func stage(_ kind: String) -> Stage {
        switch kind {
        case "discard": .sink { record in precondition(record.payloadSize == 100) }
        case "rewrite":
            .transform { record, out in
                var output = record.output(text: try record.text().uppercased())
                output.attributes["size"] = 100
                out.emit(output)
            }
        default: .transform { record, out in out.emit(record.output()) }
        }
    }

    private static func seconds(of time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
}

/// Grants everything, checks nothing.
struct IdleBroker {
    private static let batch = 500
    private let kind: String

    init(_ kind: String) { self.kind = kind }

    /// Seconds from the first delivery to the last settlement.
    func measure(_ records: Int) -> Double {
        let path = NSTemporaryDirectory() + "/stagewire-throughput-\(getpid())"
        let listener = listen(path)
        defer { unlink(path) }
        let worker = Process()
        worker.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        worker.environment = ["STAGEWIRE_SOCKET": path, "STAGEWIRE_STAGE": "bench", "THROUGHPUT": kind]
        try! worker.run()
        let descriptor = accept(listener, nil, nil)
        var link = Link(descriptor)
        _ = link.frame()
        link.write(frame(3, welcome))
        link.write(frame(7, field(2, 1 << 50) + field(3, 1 << 60)))
        let seconds = deliver(records, &link)
        link.write(frame(4, []))
        worker.waitUntilExit()
        return seconds
    }

    private func deliver(_ records: Int, _ link: inout Link) -> Double {
        let start = Date()
        var (next, settled, allowed) = (0, 0, (records: 0, bytes: 0))
        let one = record
        let body = [[UInt8]](repeating: content(4, one), count: Self.batch).flatMap { $0 }
        while settled < records {
            while next < records, allowed.records >= next + Self.batch,
                allowed.bytes >= (next + Self.batch) * one.count,
                next - settled < 16 * Self.batch
            {
                link.write(frame(8, field(2, next + 1) + body))
                next += Self.batch
            }
            let (kind, bytes) = link.frame()
            switch kind {
            case 7:
                let credit = numbers(bytes)
                allowed = (credit[2] ?? 0, credit[3] ?? 0)
            case 9: settled += count(bytes)
            default: break
            }
        }
        return Date().timeIntervalSince(start)
    }

    /// Deliveries that a Settle covers.
    private func count(_ settle: ArraySlice<UInt8>) -> Int {
        var rest = settle
        var count = 0
        while !rest.isEmpty {
            _ = varint(&rest)
            let length = varint(&rest)
            let outcome = numbers(rest.prefix(length), until: 3)
            count += max(1, (outcome[2] ?? 0) - (outcome[1] ?? 0) + 1)
            rest = rest.dropFirst(length)
        }
        return count
    }

    // MARK: Messages

    private var record: [UInt8] {
        let id = [UInt8](repeating: 7, count: 16)
        let lineage =
            content(1, id) + content(4, id) + content(7, field(1, 1)) + content(7, field(1, 2) + field(2, 900))
        let header = content(1, Array("sensor.raw".utf8)) + field(2, 1) + content(3, Array("s-1".utf8))
        return content(1, lineage) + content(2, header) + content(3, [UInt8](repeating: 112, count: 100))
    }

    private var welcome: [UInt8] {
        let limits = field(4, 4 << 20) + field(5, 1 << 20) + field(6, 1005) + field(7, 4096) + field(8, 1 << 20)
        let times = field(9, 10_000) + field(10, 30_000) + field(11, 30_000)
        let input = content(2, Array("source".utf8)) + field(4, 1 << 20) + field(5, 1 << 30) + field(6, 1)
        return field(1, 1000) + field(2, 1) + limits + times + content(13, input)
            + content(14, content(2, Array("out".utf8)))
    }

    private func frame(_ kind: Int, _ body: [UInt8]) -> [UInt8] {
        let envelope = field(1, 1000) + content(kind, body)
        return [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: envelope.count >> $0) } + envelope
    }

    private func field(_ number: Int, _ value: Int) -> [UInt8] { encode(number << 3) + encode(value) }

    private func content(_ number: Int, _ bytes: [UInt8]) -> [UInt8] {
        encode(number << 3 | 2) + encode(bytes.count) + bytes
    }

    private func encode(_ value: Int) -> [UInt8] {
        var (rest, bytes) = (value, [UInt8]())
        while rest >= 0x80 {
            bytes.append(UInt8(rest & 0x7f) | 0x80)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }

    private func listen(_ path: String) -> Int32 {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        precondition(status == 0 && Glibc.listen(descriptor, 1) == 0, "cannot listen at \(path)")
        return descriptor
    }
}

/// Reads a number off the front.
func varint(_ bytes: inout ArraySlice<UInt8>) -> Int {
    var (value, shift) = (0, 0)
    while let byte = bytes.popFirst() {
        value |= Int(byte & 0x7f) << shift
        if byte < 0x80 { break }
        shift += 7
    }
    return value
}

/// The number fields of a message, up to a field.
func numbers(_ message: ArraySlice<UInt8>, until last: Int = .max) -> [Int: Int] {
    var (rest, found) = (message, [Int: Int]())
    while !rest.isEmpty {
        let tag = varint(&rest)
        guard tag >> 3 <= last else { break }
        if tag & 7 == 0 { found[tag >> 3] = varint(&rest) } else { rest = rest.dropFirst(varint(&rest)) }
    }
    return found
}

/// A connection, read with a large buffer.
struct Link {
    private let descriptor: Int32
    private var buffer: [UInt8] = []
    private var at = 0

    init(_ descriptor: Int32) { self.descriptor = descriptor }

    /// A broker never stops reading (CR-9): where the worker takes no more, it may wait for us to read.
    mutating func write(_ bytes: [UInt8]) {
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes {
                send(descriptor, $0.baseAddress! + written, $0.count - written, Int32(MSG_DONTWAIT))
            }
            if count > 0 { written += count } else { receive() }
        }
    }

    /// Takes what is there; waits a millisecond for it at most.
    private mutating func receive() {
        var waiting = pollfd(fd: descriptor, events: Int16(POLLIN | POLLOUT), revents: 0)
        _ = poll(&waiting, 1, 1)
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        let got = recv(descriptor, &chunk, chunk.count, Int32(MSG_DONTWAIT))
        precondition(got != 0, "the worker is gone")
        if got > 0 { buffer += chunk[..<got] }
    }

    /// The next message's kind and bytes.
    mutating func frame() -> (Int, ArraySlice<UInt8>) {
        fill(4)
        let length = buffer[at..<(at + 4)].reduce(0) { $0 << 8 | Int($1) }
        fill(4 + length)
        var envelope = buffer[(at + 4)..<(at + 4 + length)]
        at += 4 + length
        _ = (varint(&envelope), varint(&envelope))
        let kind = varint(&envelope) >> 3
        _ = varint(&envelope)
        return (kind, envelope)
    }

    private mutating func fill(_ count: Int) {
        if buffer.count - at >= count { return }
        buffer.removeFirst(at)
        at = 0
        while buffer.count < count {
            var chunk = [UInt8](repeating: 0, count: 1 << 18)
            let got = read(descriptor, &chunk, chunk.count)
            precondition(got > 0, "the worker is gone")
            buffer += chunk[..<got]
        }
    }
}
