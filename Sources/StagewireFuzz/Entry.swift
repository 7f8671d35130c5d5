// The entry points of the fuzz target for the bytes that workers send and, with STAGEWIRE_FUZZ=journal, for those of a journal's
// segments. Tests/Fuzz/run.sh builds it with libFuzzer and AddressSanitizer and with FUZZING defined; an ordinary build
// replays the files that it is given.
import Foundation

private let isJournal = ProcessInfo.processInfo.environment["STAGEWIRE_FUZZ"] == "journal"

private func runOne(_ input: [UInt8]) {
    if isJournal { return JournalFuzzer().run(input) }
    var fuzzer = Fuzzer()
    fuzzer.run(input)
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
