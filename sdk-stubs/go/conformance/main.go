// Conformance is the worker with which this SDK is tested (conformance/README.md at the root): small stages
// that do what their records or their configuration say. STAGEWIRE_STAGE tells which of them it is to be.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	stagewire "stagewire.dev/sdk/go"
)

func main() { os.Exit(run(os.Getenv("STAGEWIRE_STAGE"))) }

// run is the stage's life; its result is the exit code.
func run(stage string) int {
	switch stage {
	case "transform":
		return runTransform(1)
	case "ordered":
		return runTransform(4)
	case "source":
		config := sourceConfig{Partition: "p", Records: 10, PerEmit: 2, Keys: 3}
		return stagewire.RunSource(config.run, stagewire.Config(&config))
	case "window":
		config := windowConfig{Records: 3}
		return stagewire.RunWindow(stagewire.Bounds{}, join, stagewire.Config(&config), stagewire.BoundsFrom(config.bounds))
	default:
		fmt.Fprintf(os.Stderr, "conformance: there is no stage %q; STAGEWIRE_STAGE is transform, ordered, source or window\n", stage)
	}
	return 2
}

// runTransform is `transform` with that many handlers at once.
func runTransform(workers int) int {
	var config json.RawMessage // byte for byte
	return stagewire.RunTransform(func(record *stagewire.Record, out *stagewire.Emitter) error {
		return transform(record, out, config)
	}, stagewire.Config(&config), stagewire.Workers(workers))
}
