import StagewireModel

/// What a handler emits, and the credit for it.
struct Step {
    var emitter: Emitter
    /// Nobody else emits in a session with a lane, so the hub is asked only when the limits that are known do not suffice.
    private var credit: [OutputCredit]

    init(_ welcome: Welcome) {
        emitter = Emitter(welcome, in: .outcome)
        credit = welcome.outputs.map { OutputCredit(number: $0.number) }
    }

    /// False: the limits known do not cover what was emitted.
    mutating func useCredit() -> Bool {
        guard credit.fit(emitter.charges) else { return false }
        credit.use(emitter.charges)
        return true
    }

    /// As `useCredit`, with the limits of now. nil: not enough. False: the session has ended.
    mutating func reserve(_ state: inout Hub.State) -> Bool? {
        if state.ended != nil { return false }
        for index in credit.indices { credit[index].raise(to: state.outputs[index]) }
        return useCredit() ? true : nil
    }
}
