// swift-tools-version: 6.2
import PackageDescription

// `make test` and CI set STAGEWIRE_STRICT: a warning in our own modules is an error there.
let strict = Context.environment["STAGEWIRE_STRICT"] != nil
let settings: [SwiftSetting] = strict ? [.treatAllWarnings(as: .error)] : []

// The arrows between these targets are those of docs/ARCHITECTURE.md; a new arrow needs a decision record.
let package = Package(
    name: "stagewire",
    products: [
        .executable(name: "stagewire", targets: ["stagewire"]),
        .library(name: "StagewireStage", targets: ["StagewireStage"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.1.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.0.0"),
    ],
    targets: [
        .systemLibrary(
            name: "CProtobufC", pkgConfig: "libprotobuf-c", providers: [.apt(["libprotobuf-c-dev"])]),
        .target(name: "CEnvelope", dependencies: ["CProtobufC"]),
        // What runs between fork and exec, or after a fork without exec.
        .target(name: "CWorkerHost"),
        .target(name: "StagewireModel", swiftSettings: settings),
        .target(name: "StagewireRecord", dependencies: ["StagewireModel"], swiftSettings: settings),
        .target(
            name: "StagewireWire", dependencies: ["StagewireRecord", "StagewireModel", "CEnvelope"],
            swiftSettings: settings),
        // What the journal's entries mean: the durable state of a pipeline, folded from them.
        .target(
            name: "StagewireLedger",
            dependencies: [
                "StagewireRecord", "StagewireModel", .product(name: "DequeModule", package: "swift-collections"),
            ], swiftSettings: settings),
        .target(
            name: "StagewireRouter",
            dependencies: [
                "StagewireLedger", "StagewireRecord", "StagewireModel",
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "HeapModule", package: "swift-collections"),
            ], swiftSettings: settings),
        // Segments on a disk. Knows nothing of what its entries mean, and one file of it knows an operating system.
        .target(name: "StagewireJournal", swiftSettings: settings),
        .target(
            name: "StagewireConfig",
            dependencies: ["StagewireModel", .product(name: "Yams", package: "Yams")], swiftSettings: settings),
        .target(name: "StagewireControl", swiftSettings: settings),
        .target(
            name: "StagewireBroker",
            dependencies: [
                "StagewireWire", "StagewireRouter", "StagewireLedger", "StagewireJournal", "StagewireRecord",
                "StagewireControl", "StagewireModel", "CWorkerHost",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ], swiftSettings: settings),
        // The SDK: what a stage written in Swift links. No NIO: see docs/decisions/0008.
        .target(
            name: "StagewireStage", dependencies: ["StagewireWire", "StagewireModel"], swiftSettings: settings),
        .target(name: "StagewireStages", dependencies: ["StagewireStage"], swiftSettings: settings),
        // The suite: plays the other side of a worker or a broker. Knows frames, and nothing of how ours are made.
        .target(
            name: "StagewireConformance",
            dependencies: ["StagewireWire", "StagewireModel", .product(name: "Yams", package: "Yams")],
            swiftSettings: settings),
        .executableTarget(
            name: "stagewire",
            dependencies: [
                "StagewireStages", "StagewireStage", "StagewireConformance",
                "StagewireBroker", "StagewireConfig", "StagewireControl", "StagewireJournal", "StagewireLedger",
                "StagewireRecord", "StagewireRouter", "StagewireWire", "StagewireModel",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ], swiftSettings: settings),
        // The benchmark's stages and the relay it is held against, in C; bench.py drives them.
        .executableTarget(name: "StagewireBenchWorker"),
        .executableTarget(name: "StagewireRelay", cSettings: [.headerSearchPath("../StagewireBenchWorker")]),
        .executableTarget(
            name: "StagewireFuzz",
            dependencies: [
                "StagewireWire", "StagewireRecord", "StagewireJournal", "StagewireLedger", "StagewireRouter",
                "StagewireConfig",
                "StagewireDiskSimulation", "StagewireModel", "StagewireTestSupport", "CEnvelope",
            ], swiftSettings: settings),
        .executableTarget(
            name: "StagewireRecordBench", dependencies: ["StagewireRecord", "StagewireModel"], swiftSettings: settings),
        // The router between frames and effects, without sockets: instructions of the hot path are counted on it.
        .executableTarget(
            name: "StagewireRouterBench",
            dependencies: ["StagewireRouter", "StagewireRecord", "StagewireWire", "StagewireModel"],
            swiftSettings: settings),
        // Figures of the journal on a real disk, and the process that its tests kill.
        .executableTarget(
            name: "StagewireJournalBench", dependencies: ["StagewireJournal"], swiftSettings: settings),
        .target(name: "StagewireTestSupport", path: "Tests/StagewireTestSupport", swiftSettings: settings),
        .testTarget(name: "StagewireModelTests", dependencies: ["StagewireModel"], swiftSettings: settings),
        .testTarget(
            name: "StagewireRecordTests",
            dependencies: ["StagewireRecord", "StagewireModel", "CEnvelope", "StagewireTestSupport"],
            exclude: ["Oracles"], swiftSettings: settings),
        .testTarget(
            name: "StagewireWireTests",
            dependencies: ["StagewireWire", "StagewireModel", "CEnvelope", "StagewireTestSupport"],
            swiftSettings: settings),
        // What a router goes on with, hence the router.
        .testTarget(
            name: "StagewireLedgerTests",
            dependencies: [
                "StagewireLedger", "StagewireRouter", "StagewireRecord", "StagewireModel", "StagewireTestSupport",
            ],
            swiftSettings: settings),
        // Random workers around the router, with the real journal on a simulated disk; and the program that tries many seeds.
        // Without @testable, so that it can be optimised.
        .target(
            name: "StagewireSimulation",
            dependencies: [
                "StagewireRouter", "StagewireLedger", "StagewireJournal", "StagewireRecord", "StagewireModel",
                "StagewireDiskSimulation", "StagewireTestSupport",
            ],
            path: "Tests/StagewireSimulation", swiftSettings: settings),
        .executableTarget(
            name: "StagewireSimulator", dependencies: ["StagewireSimulation"], path: "Tests/StagewireSimulator",
            exclude: ["seeds.txt"], swiftSettings: settings),
        .testTarget(
            name: "StagewireRouterTests",
            dependencies: [
                "StagewireSimulation", "StagewireRouter", "StagewireLedger", "StagewireRecord", "StagewireModel",
                "StagewireTestSupport",
            ],
            exclude: ["Scenarios"],
            swiftSettings: settings),
        // A disk in memory that loses what was not synced, and fails where it is told to.
        .target(
            name: "StagewireDiskSimulation", dependencies: ["StagewireJournal", "StagewireTestSupport"],
            path: "Tests/StagewireDiskSimulation",
            swiftSettings: settings),
        .testTarget(
            name: "StagewireJournalTests",
            dependencies: [
                "StagewireJournal", "StagewireDiskSimulation", "StagewireJournalBench", "StagewireTestSupport",
            ],
            swiftSettings: settings),
        .testTarget(
            name: "StagewireConfigTests", dependencies: ["StagewireConfig", "StagewireModel", "StagewireTestSupport"],
            exclude: ["Golden", "Drawings"],
            swiftSettings: settings),
        // The parts of the program that need no process: what lines look like.
        .testTarget(
            name: "StagewireCommandTests",
            dependencies: [
                "stagewire", "StagewireBroker", "StagewireControl", "StagewireJournal", "StagewireDiskSimulation",
                "StagewireRouter", "StagewireStage", "StagewireModel",
                .product(name: "Logging", package: "swift-log"),
            ],
            exclude: ["Journals"], swiftSettings: settings),
        .testTarget(
            name: "StagewireControlTests", dependencies: ["StagewireControl"], exclude: ["Golden"],
            swiftSettings: settings),
        .testTarget(
            name: "StagewireConformanceTests",
            dependencies: ["StagewireConformance", "StagewireWire", .product(name: "Yams", package: "Yams")],
            swiftSettings: settings),
        // The SDK and the built-in stages, which are tested as its users: one fake broker plays for both.
        .testTarget(
            name: "StagewireStageTests",
            dependencies: [
                "StagewireStages", "StagewireStage", "StagewireWire", "StagewireModel", "StagewireTestSupport",
            ],
            swiftSettings: settings),
        .testTarget(
            name: "StagewireBrokerTests",
            dependencies: [
                "StagewireBroker", "StagewireWire", "StagewireConfig", "StagewireControl", "StagewireModel",
                "StagewireJournal", "StagewireDiskSimulation", "StagewireTestSupport",
            ],
            swiftSettings: settings),
    ],
    swiftLanguageModes: [.v6]
)
