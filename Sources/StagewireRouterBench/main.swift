// The router's work for records on their way through two hops, without sockets: for profilers, and for
// Tests/HotPath, which counts the instructions of `measured`.
// `StagewireRouterBench [turns] [payload bytes] [keys]` prints nanoseconds per record and hop.
import StagewireModel

/// Everything that is counted, and nothing else.
@inline(never)
func measured(_ script: Script, _ shell: inout Shell) {
    for turn in script.turns { shell.play(turn) }
}

func run(turns: Int, payload: Int, keys: Int) {
    let script = Script(turns: turns, payload: payload, keys: keys)
    var shell = Shell()
    let clock = ContinuousClock()
    let elapsed = clock.measure { measured(script, &shell) }
    precondition(shell.delivered == 2 * script.records, "every record arrives at both consumers")
    let nanoseconds = Double(elapsed.nanoseconds) / Double(shell.delivered)
    print("\(shell.delivered) deliveries, \(Double(Int(nanoseconds * 10)) / 10) ns each")
}

let words = CommandLine.arguments.dropFirst().map { Int($0) ?? 0 }
run(turns: words.first ?? 1000, payload: words.count > 1 ? words[1] : 100, keys: words.count > 2 ? words[2] : 64)
