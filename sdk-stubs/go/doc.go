// Package stagewire lets a Go program be a stage of a Stagewire pipeline: a source, a transform or
// a sink. The program dials the broker, and this package keeps the protocol: credit in both
// directions, heartbeats, leases, atomic settling, draining and reconnecting.
//
//	func main() {
//		os.Exit(stagewire.RunTransform(func(r *stagewire.Record, out *stagewire.Emitter) error {
//			out.Emit(stagewire.Output{Key: r.Key(), Payload: bytes.ToUpper(r.Payload())})
//			return nil
//		}))
//	}
//
// How a stage works, in goroutines:
//
//	reader   socket -> frames; answers Ping, books credit, queues records; never waits for a handler
//	main     takes records one by one, calls the handler, gathers outcomes, writes Settle frames
//	callers  with Workers: several that call the handler, in the place of main
//	timers   write gathered outcomes that have waited too long, and Extend while records are held
//
// All outcomes of one record's handling are one step: what it emitted becomes visible together with
// its settlement, or not at all.
package stagewire
