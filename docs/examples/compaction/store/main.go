// Store is the sink: it appends each result to a file, as one line of JSON with the id of its record, once. README.md
// says why the pipeline alone cannot promise that, and how the id does.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	stagewire "stagewire.dev/sdk/go"
)

// configuration of the stage.
type configuration struct{ File string }

// Validate is called by the SDK.
func (c *configuration) Validate() error {
	if c.File == "" {
		return errors.New("`file` is missing: where results are appended")
	}
	return nil
}

func main() {
	config := &configuration{}
	s := &store{config: config}
	os.Exit(stagewire.RunBatchSink(s.write, stagewire.Config(config), stagewire.Version("0.1.0")))
}

// store opens its file with the first batch, when the configuration is there.
type store struct {
	config  *configuration
	results *results
}

// write returns, and thereby settles the batch, when all of it is on the disk.
func (s *store) write(records []*stagewire.Record) error {
	if s.results == nil {
		opened, err := openResults(s.config.File)
		if err != nil {
			return err
		}
		s.results = opened
		fmt.Fprintf(os.Stderr, "%s has %d results\n", s.config.File, len(opened.ids))
	}
	batch := make([]line, len(records))
	for i, record := range records {
		id := record.ID().String()
		batch[i] = line{id, lineOf(id, record.Payload())}
	}
	return s.results.append(batch)
}

// lineOf is a record as it stands in the file: its payload with the id in front. A payload that is no JSON object is kept
// as base64: refusing it would refuse the whole batch, for a verdict is for all of it.
func lineOf(id string, payload []byte) []byte {
	var text bytes.Buffer
	fmt.Fprintf(&text, `{"id":"%s"`, id)
	var object map[string]json.RawMessage
	if err := json.Unmarshal(payload, &object); err == nil && len(object) > 0 {
		text.WriteByte(',')
		var compact bytes.Buffer
		_ = json.Compact(&compact, payload) // has just been decoded
		text.Write(compact.Bytes()[1:])
	} else {
		other, _ := json.Marshal(payload)
		fmt.Fprintf(&text, `,"base64":%s}`, other)
	}
	text.WriteByte('\n')
	return text.Bytes()
}
