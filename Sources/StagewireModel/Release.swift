/// The program's own version; the protocol has another one, `ProtocolVersion`.
public enum Release {
    /// "0.1.0", as in semantic versioning.
    public static let version = "0.1.0"
}
