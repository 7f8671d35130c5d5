import StagewireModel

/// The mixes in which chaos is tried. A seed has one of them: its remainder says which.
package enum Variant: Int, CaseIterable, Sendable {
    case keyOrder
    case manyDeaths
    case noOrderAndManyFailures
    case keyOrderAndManyFailures
    case holdersAndDrops
    case deadLettersComeBack
    case twoInputsAndManyDeaths
    // The broker dies, too.
    case brokerDies
    case everybodyDiesAndMuchFails
    case brokerDiesAmongDeadLetters
    case brokerDiesWithHoldersAndTwoInputs
    case brokerDiesAndRecordsAreDropped
    case slowStagesFallBehind
    // So does the disk, or it fills up.
    case diskFails
    case diskFailsAndMuchFails
    case diskFailsAmongDeadLetters
    case diskFailsAndRecordsAreDropped
    case diskFailsAndSlowStagesFallBehind
    case stopsAndGoesOn
    case stagesPause
    case recordsComeAgain
    case diskFailsAndRecordsComeAgain

    package init(of seed: UInt64) {
        self = Self.allCases[Int(seed % UInt64(Self.allCases.count))]
    }

    package var hasJournal: Bool { rawValue >= Self.brokerDies.rawValue }

    package func options(_ seed: UInt64) -> Chaos.Options {
        var options = Chaos.Options()
        // Not the remainder that has chosen the variant.
        let other = seed / UInt64(Self.allCases.count)
        if hasJournal {
            options.journal = SimulatedJournal.Options()
            options.journal!.segmentBytes = [2048, 4096, 16384][Int(other % 3)]
        }
        apply(&options, [.key, .none, .total][Int(other % 3)], isEven: other % 2 == 0)
        // What holds in half of the seeds may need further records before it settles any.
        if options.holds {
            options.window = [1, 2, 2, 1][Int(other / 4 % 4)]
            options.keysCollide = other / 4 % 4 > 1
        }
        options.auditHasCondition = other / 8 % 3 == 1
        if options.auditIsSlow { options.backlogBytes = [1 << 30, 6000, 40_000][Int(other / 6 % 3)] }
        return options
    }

    private func apply(_ options: inout Chaos.Options, _ ordering: Ordering, isEven: Bool) {
        switch self {
        case .keyOrder: break
        case .manyDeaths:
            options.deathPercent = 8
            options.workers = 3
            options.retryPercent = 2
        case .noOrderAndManyFailures:
            options.transformOrdering = .none
            options.auditOrdering = .key
            options.retryPercent = 25
            options.releasePercent = 10
            options.rejectPercent = 5
        case .keyOrderAndManyFailures:
            options.retryPercent = 20
            options.releasePercent = 10
            options.rejectPercent = 5
            options.workers = 3
        case .holdersAndDrops:
            options.holds = true
            options.auditOverflow = isEven ? .dropOldest : .dropNewest
        case .deadLettersComeBack:
            letters(&options, isEven: isEven)
            options.transformOrdering = ordering
        case .twoInputsAndManyDeaths:
            // A worker that dies holds records of two inputs, so that suspect groups are of both.
            options.auditReadsBoth = true
            options.auditOrdering = ordering
            options.holds = isEven
            options.deathPercent = 6
        case .brokerDies: options.crashPermille = 20
        case .everybodyDiesAndMuchFails:
            options.crashPermille = 10
            everythingFails(&options, ordering)
        case .brokerDiesAmongDeadLetters:
            options.crashPermille = 15
            letters(&options, isEven: isEven)
        case .brokerDiesWithHoldersAndTwoInputs:
            options.crashPermille = 15
            options.holds = true
            options.auditReadsBoth = true
            options.auditOrdering = ordering
        case .brokerDiesAndRecordsAreDropped:
            options.crashPermille = 15
            options.auditOverflow = isEven ? .dropOldest : .dropNewest
        case .slowStagesFallBehind:
            options.crashPermille = isEven ? 1 : 10
            slow(&options, ordering, isEven: isEven)
        case .diskFails: options.journal?.faultPermille = 15
        case .diskFailsAndMuchFails:
            options.journal?.faultPermille = 10
            everythingFails(&options, ordering)
        case .diskFailsAmongDeadLetters:
            options.journal?.faultPermille = 12
            options.crashPermille = 3
            letters(&options, isEven: isEven)
        case .diskFailsAndRecordsAreDropped:
            options.journal?.faultPermille = 12
            options.auditOverflow = isEven ? .dropOldest : .dropNewest
            options.auditReadsBoth = true
            options.auditOrdering = ordering
        case .diskFailsAndSlowStagesFallBehind:
            options.journal?.faultPermille = isEven ? 12 : 3
            slow(&options, ordering, isEven: isEven)
        case .stopsAndGoesOn:
            options.stopPermille = 8
            options.crashPermille = 4
            options.journal?.faultPermille = 4
            options.holds = isEven
            options.revivePercent = 3
            options.rejectPercent = 5
        case .stagesPause: pauses(&options, ordering, isEven: isEven)
        case .recordsComeAgain:
            options.crashPermille = 10
            replays(&options, ordering, isEven: isEven)
        case .diskFailsAndRecordsComeAgain:
            options.journal?.faultPermille = 10
            options.stopPermille = 2
            replays(&options, ordering, isEven: isEven)
        }
    }

    /// So much is rejected that stages pause again and again, with and without a person who has them go on.
    private func pauses(_ options: inout Chaos.Options, _ ordering: Ordering, isEven: Bool) {
        var policy = BreakerPolicy()
        (policy.failures, policy.window) = (3, 5)
        (policy.pauseFirst, policy.pauseLimit) = (.milliseconds(300), .seconds(2))
        options.breaker = policy
        options.rejectPercent = 35
        options.retryPercent = 10
        options.revivePercent = 3
        options.resumePercent = isEven ? 2 : 0
        options.transformOrdering = ordering
        options.crashPermille = 15
    }

    private func replays(_ options: inout Chaos.Options, _ ordering: Ordering, isEven: Bool) {
        options.replayPercent = 4
        options.journal?.retention = RetentionPolicy(time: isEven ? .seconds(20) : nil, bytes: isEven ? nil : 20_000)
        options.auditIsSlow = isEven
        options.auditReadsBoth = true
        options.auditOrdering = ordering
        options.retryPercent = 10
        options.rejectPercent = 8
        options.revivePercent = 3
        options.holds = !isEven
    }

    private func letters(_ options: inout Chaos.Options, isEven: Bool) {
        options.rejectPercent = 15
        options.retryPercent = 10
        options.revivePercent = 4
        // Every other time so few that their stages pause again and again.
        options.deadLetters = isEven ? 3 : 10_000
    }

    private func slow(_ options: inout Chaos.Options, _ ordering: Ordering, isEven: Bool) {
        options.auditIsSlow = true
        options.auditReadsBoth = isEven
        options.auditOrdering = ordering
        options.retryPercent = 10
        options.rejectPercent = isEven ? 10 : 1
        options.revivePercent = isEven ? 2 : 0
    }

    private func everythingFails(_ options: inout Chaos.Options, _ ordering: Ordering) {
        options.deathPercent = 4
        options.retryPercent = 15
        options.releasePercent = 5
        options.rejectPercent = 5
        options.workers = 3
        options.transformOrdering = ordering
    }
}
