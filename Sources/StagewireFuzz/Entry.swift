// The entry points of the fuzz target. STAGEWIRE_FUZZ says what its inputs are: `frames` that workers send, segments of a
// `journal`, entries for its `ledger`, or the text of a `pipeline`. Tests/Fuzz/run.sh builds it with libFuzzer and AddressSanitizer and
// with FUZZING defined; an ordinary build replays the files that it is given.
import Foundation

private let kind = ProcessInfo.processInfo.environment["STAGEWIRE_FUZZ"] ?? "frames"

private func runOne(_ input: [UInt8]) {
    switch kind {
    case "frames":
        var fuzzer = Fuzzer()
        fuzzer.run(input)
    case "journal": JournalFuzzer().run(input)
    case "ledger": LedgerFuzzer().run(input)
    case "pipeline": PipelineFuzzer().run(input)
    default: preconditionFailure("STAGEWIRE_FUZZ=\(kind): there is no such kind of input")
    }
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOne(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    runOne(Array(UnsafeBufferPointer(start: data, count: size)))
    return 0
}

#if FUZZING
    public typealias Arguments = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
    typealias Entry = @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt

    /// The package manager names an executable's entry point after its target; libFuzzer's driver is called from there.
    @_cdecl("StagewireFuzz_main")
    public func start(_ count: CInt, _ arguments: Arguments?) -> CInt {
        var count = count
        var arguments = arguments
        return runFuzzer(&count, &arguments, fuzzOne)
    }

    @_silgen_name("LLVMFuzzerRunDriver")
    func runFuzzer(_: UnsafeMutablePointer<CInt>, _: UnsafeMutablePointer<Arguments?>, _: Entry) -> CInt
#else
    @main enum Replay {
        static func main() throws {
            for path in CommandLine.arguments.dropFirst() {
                runOne(Array(try Data(contentsOf: URL(filePath: path))))
            }
        }
    }
#endif
