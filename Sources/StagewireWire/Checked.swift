import CEnvelope
import StagewireModel

/// Values out of C structures, held against the limits. The structures have passed `ControlCheck`.
struct Checked {
    let kind: Kind
    init(_ kind: Kind) { self.kind = kind }

    func fault(_ field: String, _ problem: String) -> CloseReason {
        CloseReason(kind == .hello ? .malformedHello : .malformedFrame, "\(kind.name): \(field) \(problem).")
    }

    /// A name of a stage, port, instance, version, SDK or language.
    func name(_ text: UnsafePointer<CChar>?, _ field: String) throws(CloseReason) -> String {
        let name = string(text)
        guard name.utf8.count <= Limits.name else {
            throw fault(field, "has \(name.utf8.count) bytes, where at most \(Limits.name) are allowed")
        }
        return name
    }

    /// A source partition: 1 to 255 bytes.
    func partition(_ text: UnsafePointer<CChar>?) throws(CloseReason) -> String {
        let partition = string(text)
        let count = partition.utf8.count
        guard count >= 1, count <= Limits.partition else {
            throw CloseReason(
                .invalidPartition,
                "\(kind.name) names a partition of \(count) bytes. A partition has 1 to \(Limits.partition) bytes; "
                    + "a source with only one may call it \"0\".")
        }
        return partition
    }

    func features(
        _ list: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?, _ number: Int, _ field: String
    ) throws(CloseReason) -> [String] {
        try count(number, Limits.features, field)
        var features: [String] = []
        for text in UnsafeBufferPointer(start: list, count: number) { features.append(try name(text, field)) }
        return features
    }

    func bytes(_ data: ProtobufCBinaryData, _ most: Int, _ field: String) throws(CloseReason) -> [UInt8] {
        guard data.len <= most else {
            throw fault(field, "has \(data.len) bytes, where at most \(most) are allowed")
        }
        return array(data)
    }

    func count(_ number: Int, _ most: Int, _ field: String) throws(CloseReason) {
        guard number <= most else {
            throw fault(field, "has \(number) elements, where at most \(most) are allowed")
        }
    }
}

func string(_ text: UnsafePointer<CChar>?) -> String { text.map { String(cString: $0) } ?? "" }

func array(_ data: ProtobufCBinaryData) -> [UInt8] { Array(UnsafeBufferPointer(start: data.data, count: data.len)) }

/// The elements of a repeated field of messages.
func messages<Message>(_ list: UnsafeMutablePointer<UnsafeMutablePointer<Message>?>?, _ count: Int) -> [Message] {
    UnsafeBufferPointer(start: list, count: count).map { element in
        guard let element else { preconditionFailure("libprotobuf-c leaves no hole in a repeated field") }
        return element.pointee
    }
}
