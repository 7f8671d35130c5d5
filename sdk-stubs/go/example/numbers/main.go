// Numbers is a source: it counts from where it stopped, ten numbers in each step.
package main

import (
	"os"
	"strconv"

	stagewire "stagewire.dev/sdk/go"
)

var config = struct{ Count, Step int }{Count: 1000, Step: 10}

func main() {
	os.Exit(stagewire.RunSource(count, stagewire.Config(&config)))
}

func count(source *stagewire.Source) error {
	numbers, err := source.Claim("numbers")
	if err != nil {
		return err
	}
	next, _ := strconv.Atoi(string(numbers.Checkpoint())) // 0 in the beginning
	for next < config.Count {
		var step []stagewire.Output
		for ; len(step) < config.Step && next < config.Count; next++ {
			step = append(step, stagewire.Output{Payload: []byte(strconv.Itoa(next))})
		}
		// The numbers and where to go on after them are kept together, or neither is.
		if err := numbers.Emit(step, []byte(strconv.Itoa(next))); err != nil {
			return err
		}
	}
	return nil // every partition is finished
}
