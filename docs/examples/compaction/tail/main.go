// Tail is the source: it reads a file that events are appended to, one on each line. Its position in the file is its
// checkpoint, kept by the broker together with the events that lead there.
//
// What is no event goes on as it is, without event time: the next stage makes dead letters of such records, so that
// nothing of the input vanishes unseen.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	stagewire "stagewire.dev/sdk/go"

	"stagewire.dev/examples/compaction/event"
)

// tail is the configuration, and what reads by it.
type tail struct {
	File   string
	Batch  int  // lines in a step. Record ids follow from it: the same file in other batches has other ids
	Follow bool // wait for more at the end of the file; otherwise that is the end of the input
	Pace   int  // events per second, for tests; 0: as fast as the pipeline takes them
}

// poll is how often a file that is followed is looked at.
const poll = 200 * time.Millisecond

func main() {
	t := &tail{Batch: 100}
	os.Exit(stagewire.RunSource(t.run, stagewire.Config(t), stagewire.Version("0.1.0")))
}

// Validate is called by the SDK.
func (t *tail) Validate() error {
	switch {
	case t.File == "":
		return errors.New("`file` is missing: the file that events are appended to")
	case t.Batch < 1 || t.Batch > 500:
		return fmt.Errorf("`batch` is %d, not 1 to 500", t.Batch)
	case t.Pace < 0:
		return fmt.Errorf("`pace` is %d", t.Pace)
	}
	return nil
}

func (t *tail) run(source *stagewire.Source) error {
	partition, err := source.Claim(filepath.Base(t.File))
	if err != nil {
		return err
	}
	at, err := position(partition.Checkpoint())
	if err != nil {
		return err
	}
	in, err := openLines(t.File, at)
	if err != nil {
		return err
	}
	defer in.close()
	if at > 0 {
		fmt.Fprintf(os.Stderr, "goes on at byte %d of %s\n", at, t.File)
	}
	for begin, emitted := time.Now(), 0; ; {
		step, failure := gather(in, t.Batch)
		if len(step) > 0 {
			// The events and the position behind them are kept together, or neither is.
			if err := partition.Emit(step, []byte(strconv.FormatInt(in.at, 10))); err != nil {
				return err
			}
			emitted += len(step)
		}
		switch {
		case failure == nil:
		case !errors.Is(failure, io.EOF):
			return failure
		case !t.Follow:
			return nil // the input has ended: the pipeline closes every bucket
		case !wait(source, poll):
			return stagewire.ErrStopped
		}
		if t.Pace > 0 {
			due := begin.Add(time.Duration(emitted) * time.Second / time.Duration(t.Pace))
			if !wait(source, time.Until(due)) {
				return stagewire.ErrStopped
			}
		}
	}
}

// position reads a checkpoint; an empty one is the beginning.
func position(checkpoint []byte) (int64, error) {
	if len(checkpoint) == 0 {
		return 0, nil
	}
	at, err := strconv.ParseInt(string(checkpoint), 10, 64)
	if err != nil || at < 0 {
		return 0, fmt.Errorf("the checkpoint %.40q is no position in a file: another source has had this partition", checkpoint)
	}
	return at, nil
}

// gather takes up to `limit` lines. The error says why there are fewer.
func gather(in *lines, limit int) (step []stagewire.Output, err error) {
	for len(step) < limit {
		line, err := in.next()
		if err != nil {
			return step, err
		}
		step = append(step, output(append([]byte(nil), line...)))
	}
	return step, nil
}

// output is the record of a line. Only what is an event has a key and a time.
func output(line []byte) stagewire.Output {
	e, err := event.Parse(line)
	if err != nil {
		return stagewire.Output{Schema: "event.malformed", SchemaVersion: 1, ContentType: "application/octet-stream", Payload: line,
			Attributes: []stagewire.Attribute{stagewire.Text("error", strings.ToValidUTF8(err.Error(), "?"))}}
	}
	return stagewire.Output{Schema: "event", SchemaVersion: 1, Key: []byte(e.Entity), EventTime: e.Time,
		ContentType: "application/json", Payload: line}
}

// wait says false when the source is to stop.
func wait(source *stagewire.Source, duration time.Duration) bool {
	select {
	case <-source.Context().Done():
		return false
	case <-time.After(duration):
		return true
	}
}
