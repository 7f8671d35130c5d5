// Mean is a window: the mean reading of each sensor in each minute, as one atomic step.
package main

import (
	"encoding/json"
	"os"
	"time"

	stagewire "stagewire.dev/sdk/go"
)

func main() {
	minute := stagewire.Bounds{EventTime: time.Minute, Lateness: 5 * time.Second, ByKey: true}
	os.Exit(stagewire.RunWindow(minute, mean))
}

func mean(window *stagewire.Window, out *stagewire.Emitter) error {
	sum, count := 0.0, 0
	for _, record := range window.Records {
		var reading struct{ Celsius *float64 }
		if err := json.Unmarshal(record.Payload(), &reading); err != nil || reading.Celsius == nil {
			window.Reject(record, 1001, "not a reading in Celsius")
			continue
		}
		sum, count = sum+*reading.Celsius, count+1
	}
	if count == 0 {
		return nil
	}
	payload, err := json.Marshal(map[string]any{"mean": sum / float64(count), "readings": count, "complete": window.Complete})
	if err != nil {
		return err
	}
	out.Emit(stagewire.Output{Key: window.Key, EventTime: window.Start, ContentType: "application/json", Payload: payload})
	return nil
}
