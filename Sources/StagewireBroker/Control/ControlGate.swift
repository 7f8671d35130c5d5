import NIOHTTP1
import StagewireControl

/// Who is let in before anything is looked up.
enum ControlGate {
    /// - Throws: why the request is refused.
    static func check(_ head: HTTPRequestHead, from caller: ControlCaller) throws(ControlProblem) {
        guard caller.isPermitted else {
            throw ControlProblem(
                .forbidden, "this pipeline belongs to another user: only its owner and root may ask or change it",
                hint: "run the command as the user who runs the pipeline")
        }
        try checkBrowser(head)
    }

    /// No browser opens a Unix socket. Should somebody forward one to a TCP port, though, every page that is open in
    /// their browser could send requests there: such requests say where they come from.
    private static func checkBrowser(_ head: HTTPRequestHead) throws(ControlProblem) {
        if let origin = head.headers["origin"].first {
            throw ControlProblem(
                .forbidden, "requests from web pages are refused (Origin: \(origin))",
                hint: "leave the Origin field out if this is not a browser")
        }
        // A page whose own name was made to resolve to this machine sends no Origin with a GET, but its name as Host.
        let hosts = head.headers["host"]
        guard hosts.count <= 1, let host = hosts.first, !host.isEmpty else {
            if hosts.count > 1 { throw ControlProblem(.badRequest, "the Host field stands twice") }
            return
        }
        let name = host.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)[0].lowercased()
        guard name == "localhost" else {
            throw ControlProblem(
                .forbidden, "the Host field names \(host), which is not this broker",
                hint: "ask for http://localhost/, as in: curl --unix-socket PATH http://localhost/v1/status")
        }
    }
}
