// Forward sends every record on as it is: the worker of the pipeline benchmark (`make bench` in the root, docs/BENCHMARKS.md).
package main

import (
	"os"

	stagewire "stagewire.dev/sdk/go"
)

func main() {
	os.Exit(stagewire.RunTransform(func(record *stagewire.Record, out *stagewire.Emitter) error {
		out.Emit(record.Output())
		return nil
	}))
}
