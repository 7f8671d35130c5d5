enum StageTest {
    static func run(_ stage: Stage, _ test: StageArguments.Test) async -> Int32 { 2 }
}
