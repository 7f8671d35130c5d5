// Shout is the smallest useful transform: every record goes on with its payload in capitals.
package main

import (
	"bytes"
	"os"

	stagewire "stagewire.dev/sdk/go"
)

func main() {
	os.Exit(stagewire.RunTransform(func(record *stagewire.Record, out *stagewire.Emitter) error {
		output := record.Output() // the same header and payload
		output.Payload = bytes.ToUpper(output.Payload)
		out.Emit(output)
		return nil
	}))
}
