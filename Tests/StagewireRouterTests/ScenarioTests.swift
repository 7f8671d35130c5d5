import StagewireModel
import StagewireSimulation
import Testing

@testable import StagewireRouter

@Suite struct OwnerTests {
    /// The kernel's word for a peer's user decides, whatever its Hello says.
    @Test(arguments: [(UInt32(7), true), (0, true), (8, false)]) func onlyTheOwnerAndRootAttach(
        uid: UInt32, isAdmitted: Bool
    ) {
        var options = Router.Options()
        options.owner = 7
        var router = Router(Chaos.pipeline(Chaos.Options()), options: options)
        let now = Moment(uptime: 1, wall: 1)
        router.handle(.connected(ConnectionID(1), uid: uid), at: now)
        let refusals = router.effects.compactMap { effect -> CloseReason? in
            if case .close(_, let reason) = effect { reason } else { nil }
        }
        #expect(refusals.map(\.code) == (isAdmitted ? [] : [Code.unauthenticated.rawValue]))
    }
}

@Suite struct ScenarioTests {
    @Test(arguments: Scenario.names()) func transcript(name: String) throws {
        let (written, actual) = try Scenario.play(name)
        #expect(written == actual, "\(name) differs; STAGEWIRE_GOLDEN=write writes it anew")
    }

    @Test func thereAreScenarios() { #expect(Scenario.names().count >= 10) }
}
