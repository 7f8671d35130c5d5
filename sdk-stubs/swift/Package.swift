// swift-tools-version: 6.2
import PackageDescription

// A package of stages. From elsewhere, name the repository in place of the path.
let package = Package(
    name: "stages",
    dependencies: [.package(name: "stagewire", path: "../..")],
    targets: ["shout", "numbers", "mean", "conformance", "throughput", "forward"].map { name in
        .executableTarget(
            name: name, dependencies: [.product(name: "StagewireStage", package: "stagewire")], path: "Sources/\(name)")
    },
    swiftLanguageModes: [.v6]
)
