import Testing

@Suite struct ScenarioTests {
    @Test(arguments: Scenario.names()) func transcript(name: String) throws {
        let (written, actual) = try Scenario.play(name)
        #expect(written == actual, "\(name) differs; STAGEWIRE_UPDATE_GOLDEN=1 writes it anew")
    }

    @Test func thereAreScenarios() { #expect(Scenario.names().count >= 10) }
}
