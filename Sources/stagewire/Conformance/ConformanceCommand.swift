import ArgumentParser

struct ConformanceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "conformance",
        abstract: "Prove that a worker, or a broker, keeps the protocol.",
        discussion: """
            The suite plays the other side: a scripted broker for the worker under test, or scripted workers for the \
            broker under test. conformance/README.md leads from nothing to a worker that passes.

            EXAMPLES:
              stagewire conformance run -- ./my-worker
              stagewire conformance run --profile core,source --report junit -- python3 worker.py
              stagewire conformance run --broker
              stagewire conformance list --profile window
              stagewire conformance explain CR-4
            """,
        subcommands: [ConformanceRun.self, ConformanceList.self, ConformanceExplain.self])
}
