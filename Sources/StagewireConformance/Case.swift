import StagewireWire

/// What a run tests: the suite plays the other side.
public enum Role: String, Sendable, CaseIterable {
    case worker
    case broker
}

/// Groups of rules that an implementation may leave out (docs/PROTOCOL.md, "Extension").
public enum Profile: String, Sendable, CaseIterable {
    case core
    case source
    case window
    case ordered
    case reconnect
    case confirm
}

/// Where something stands in a case file, from 1.
public struct Place: Equatable, Sendable, CustomStringConvertible {
    public var file: String
    public var line: Int
    public var column: Int

    public var description: String { "\(file):\(line):\(column)" }
}

/// One case of `conformance/cases`.
public struct Case: Sendable {
    /// Stable: reports, known failures and filters name it.
    public var slug: String
    public var title: String
    public var role: Role
    public var profile: Profile
    /// Ids of docs/PROTOCOL.md that it checks.
    public var rules: [String]
    /// Features without which it is skipped.
    public var requires: [String]
    /// Features with which it is skipped: what they allow is what it refuses.
    public var excludes: [String]
    public var setup: Setup
    public var steps: [Step]
    public var place: Place
}

/// How a case begins, before its first step.
public struct Setup: Sendable {
    /// A worker's case: `STAGEWIRE_STAGE`. Without one: `transform`, or the profile's own stage.
    public var stage: String
    /// A worker's case: how far the suite goes by itself.
    public var begin: Beginning
    /// A worker's case: members of `Welcome` in place of the usual ones.
    public var welcome: FrameLiteral
    /// A worker's case: the stage's configuration.
    public var config: FrameLiteral
    /// A worker's case: environment of the process.
    public var environment: [String: String]
    /// A broker's case: `pipeline.yaml` in place of the usual one.
    public var pipeline: String?
    /// A broker's case: of the pipeline, where that does not say it; nil: memory.
    public var durability: String?
    /// What the suite does by itself on each connection.
    public var automatic: Automatic
    /// Bytes of one write; 0: as it comes.
    public var fragment: Int
    /// Frames of both sides are checked against every rule that can be seen from outside. Off where the case itself
    /// breaks the rules.
    public var checks: Bool
}

public enum Beginning: String, Sendable, CaseIterable {
    /// Nothing is started.
    case nothing
    /// The worker runs and has connected.
    case connected
    /// It has sent Hello.
    case greeted
    /// It has Welcome and, if `automatic.credit`, credit.
    case open
}

/// What the suite's side of a connection does without being told.
public struct Automatic: Equatable, Sendable {
    /// Answers Ping.
    public var pong = true
    /// Grants credit, and more when half of it is used.
    public var credit = true
    /// Plays a broker for sources: Claimed and Committed. Settled with `settle-confirm`.
    public var commit = true
}
