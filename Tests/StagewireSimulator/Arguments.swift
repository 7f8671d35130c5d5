/// What the simulator is to do.
struct Arguments {
    enum Mode {
        case seeds
        /// One seed in this process, with all that happened.
        case trace(UInt64)
        /// Seeds from standard input.
        case worker
        case usage(String)
    }

    static let usage = """
        usage: StagewireSimulator [--first SEED] [--seeds COUNT] [--also FILE] [--processes COUNT]
               StagewireSimulator --trace SEED
          --first      the first seed (1)
          --seeds      how many (1000)
          --also       a file with further seeds, one a line; what stands behind # is a comment
          --processes  how many at a time (one for each core)
        """

    var mode = Mode.seeds
    var first: UInt64 = 1
    var count: UInt64 = 1000
    var file: String?
    var processes: Int?

    init(_ words: [String]) {
        var rest = words.dropFirst()
        while let word = rest.popFirst() {
            if word == "--worker" {
                mode = .worker
                return
            }
            guard let value = rest.popFirst() else {
                mode = .usage("\(word) needs a value, or is no option")
                return
            }
            if word == "--also" {
                file = value
                continue
            }
            guard let number = UInt64(value), number <= 1 << 62 else {
                mode = .usage("\(value) is no number for \(word)")
                return
            }
            switch word {
            case "--first": first = number
            case "--seeds": count = number
            case "--processes": processes = max(1, Int(number))
            case "--trace": mode = .trace(number)
            case _:
                mode = .usage("there is no option \(word)")
                return
            }
        }
    }
}
