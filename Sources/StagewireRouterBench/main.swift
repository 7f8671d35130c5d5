// The router's work for records on their way through two hops, without sockets: for profilers, and for
// Tests/HotPath, which counts the instructions of `measured`.
// `StagewireRouterBench [turns] [payload bytes] [keys] [workers]` prints nanoseconds per delivery.
import StagewireModel

/// Everything that is counted, and nothing else.
@inline(never)
func measured(_ script: Script, _ shell: inout Shell) {
    for turn in script.turns { shell.play(turn) }
}

func run(turns: Int, payload: Int, keys: Int, workers: Int) {
    let script = Script(turns: turns, payload: payload, keys: keys, workers: workers)
    var shell = Shell(workers: workers)
    let clock = ContinuousClock()
    let elapsed = clock.measure { measured(script, &shell) }
    precondition(shell.delivered == 2 * script.records, "every record arrives at both consumers")
    let nanoseconds = Double(elapsed.nanoseconds) / Double(shell.delivered)
    print("\(shell.delivered) deliveries, \(Double(Int(nanoseconds * 10)) / 10) ns each")
}

var words = CommandLine.arguments.dropFirst().map { Int($0) ?? 0 }
words += [1000, 100, 64, 1].dropFirst(words.count)
run(turns: words[0], payload: words[1], keys: words[2], workers: words[3])
