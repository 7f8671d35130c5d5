import Glibc
import StagewireModel
import StagewireWire

/// What the broker's host, or whoever starts the worker, tells it.
struct WorkerEnvironment: Sendable {
    var socket = ""
    var stage = ""
    var instance = ""
    var token: [UInt8] = []

    /// Reads the environment, and removes the token: children must not inherit what lets them in under our name.
    static func take() throws(ConfigurationError) -> WorkerEnvironment {
        let get = { (name: String) in getenv(name).map { String(cString: $0) } ?? "" }
        var environment = WorkerEnvironment()
        environment.socket = get("STAGEWIRE_SOCKET")
        environment.stage = get("STAGEWIRE_STAGE")
        environment.instance = get("STAGEWIRE_INSTANCE")
        guard let token = Hexadecimal.bytes(get("STAGEWIRE_TOKEN")) else {
            throw ConfigurationError("STAGEWIRE_TOKEN is not hexadecimal; let the broker's host set it")
        }
        unsetenv("STAGEWIRE_TOKEN")
        environment.token = token
        guard !environment.socket.isEmpty else {
            throw ConfigurationError(
                "STAGEWIRE_SOCKET is not set. Let `stagewire run` start this program, set STAGEWIRE_SOCKET and "
                    + "STAGEWIRE_STAGE to attach to a running broker, or try the stage alone with --test FILE")
        }
        guard !environment.stage.isEmpty else {
            throw ConfigurationError(
                "STAGEWIRE_STAGE is not set: it names the stage of the pipeline that this program is")
        }
        return environment
    }
}

/// A connection whose handshake is done.
struct Connection {
    /// The broker answers Hello within this, or something is wrong with it.
    static let patience = 10 * Uptime.second

    let descriptor: Int32
    let welcome: Welcome
    var reader: FrameReader

    /// Dials, says Hello and reads the answer. Blocks the thread.
    static func open(_ environment: WorkerEnvironment, _ stage: Stage) throws(Fault) -> Connection {
        let descriptor: Int32
        do { descriptor = try Socket.connect(environment.socket) } catch { throw .broken(error.message) }
        do {
            return try greet(descriptor, environment, stage)
        } catch {
            if case .closed(let reason, byBroker: false) = error {
                _ = Socket.write(FrameCodec.encode(.close(reason))[...], to: descriptor)
                Socket.discard(descriptor, for: ConnectionThread.closing)
            }
            close(descriptor)
            throw error
        }
    }

    private static func greet(
        _ descriptor: Int32, _ environment: WorkerEnvironment, _ stage: Stage
    ) throws(Fault) -> Connection {
        var hello = Hello()
        hello.stage = environment.stage
        hello.instance = environment.instance
        hello.token = environment.token
        hello.stageVersion = stage.version
        hello.maxFrame = UInt64(stage.maxFrame)
        hello.sdk = "stagewire-swift/0.1"
        hello.language = "swift"
        if case .group(holds: true, _) = stage.kind { hello.required = [Feature.holds] }
        // Of the broker's, not required: one that does not have it takes the stage, and nothing is ever confirmed.
        if case .source = stage.kind {} else { hello.offered = [Feature.settleConfirm] }
        // A refusal may stand in a socket that takes no more bytes, so a failed write is left to the read.
        _ = Socket.write(FrameCodec.encode(.hello(hello))[...], to: descriptor)
        return try answer(descriptor, stage)
    }

    private static func answer(_ descriptor: Int32, _ stage: Stage) throws(Fault) -> Connection {
        var reader = FrameReader()
        reader.splitter.limit = stage.maxFrame
        let deadline = Uptime.now + patience
        while true {
            if let welcome = try welcome(in: &reader) {
                return Connection(descriptor: descriptor, welcome: welcome, reader: reader)
            }
            let now = Uptime.now
            guard now < deadline else { throw .broken("the broker did not answer Hello within 10 s") }
            var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            _ = poll(&waiting, 1, Int32((deadline - now) / Uptime.millisecond) + 1)
            switch reader.fill(from: descriptor) {
            case .bytes, .nothing: break
            case .end: throw .endOfStream
            case .failure(let problem): throw .broken("the connection broke: \(problem)")
            }
        }
    }

    /// The answer, once it has arrived; kinds that we do not know are ignored.
    private static func welcome(in reader: inout FrameReader) throws(Fault) -> Welcome? {
        do {
            while let frame = try reader.next() {
                switch try FrameDecoder.decode(frame) {
                case .control(.welcome(let welcome)):
                    guard welcome.version == ProtocolVersion.current else { throw wrongVersion(welcome.version) }
                    reader.splitter.limit = min(Int(clamping: welcome.maxFrame), Limits.ceilingFrame)
                    return welcome
                case .control(.close(let reason)): throw Fault.closed(reason, byBroker: true)
                case .unknown: break
                case .control, .deliver, .settle, .emit:
                    throw CloseReason(.unexpectedMessage, "The broker answered Hello with neither Welcome nor Close.")
                }
            }
            return nil
        } catch let reason as CloseReason {
            throw .closed(reason, byBroker: false)
        } catch let fault as Fault {
            throw fault
        } catch {
            preconditionFailure("only the two are thrown above")
        }
    }

    private static func wrongVersion(_ version: UInt32) -> CloseReason {
        CloseReason(
            .unsupportedVersion,
            "The broker chose protocol \(ProtocolVersion.text(version)), this worker offered "
                + "\(ProtocolVersion.text(ProtocolVersion.current)) only.")
    }
}

enum FrameDecoder {
    /// As `FrameCodec.decode`, and a Close of any major version is understood (VR-2).
    static func decode(_ frame: [UInt8]) throws(CloseReason) -> Frame {
        do {
            return try FrameCodec.decode(frame.span.bytes)
        } catch {
            guard error.code == Code.unsupportedVersion.rawValue,
                let close = FrameCodec.closeOfAnyMajor(frame.span.bytes)
            else { throw error }
            return .control(.close(close))
        }
    }
}
