// Reduce keeps what is distinct: of all events of one entity and one kind in one bucket of event time it makes one group,
// with their number, sum, least and greatest value.
//
// What belongs to a bucket is a function of the order in the file alone, not of the clock nor of when this process was
// ended. README.md says why; what is to be set for it is set here and in pipeline.yaml.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sort"
	"time"

	stagewire "stagewire.dev/sdk/go"

	"stagewire.dev/examples/compaction/event"
)

// notAnEvent is the code of a record that is none.
const notAnEvent = 1001

// reducer is the configuration.
type reducer struct {
	Bucket   duration // length of a bucket
	Lateness duration // by how much an event may come out of order
}

func main() {
	r := &reducer{Bucket: duration(time.Minute), Lateness: duration(30 * time.Second)}
	os.Exit(stagewire.RunWindow(stagewire.Bounds{}, reduce, stagewire.Config(r), stagewire.BoundsFrom(r.bounds),
		stagewire.Version("0.1.0")))
}

// bounds end a bucket by the watermark alone. Were it to end after a while without events (Idle), a slow source, or
// the time that a restart takes, would decide what is late.
func (r *reducer) bounds() stagewire.Bounds {
	return stagewire.Bounds{EventTime: time.Duration(r.Bucket), Lateness: time.Duration(r.Lateness), Idle: -1}
}

// Validate is called by the SDK.
func (r *reducer) Validate() error {
	switch {
	case r.Bucket < duration(time.Millisecond):
		return errors.New("`bucket` is less than 1ms")
	case r.Lateness < 0:
		return errors.New("`lateness` is negative")
	}
	return nil
}

// duration is written as in "1m30s".
type duration time.Duration

func (d *duration) UnmarshalJSON(text []byte) error {
	var written string
	if err := json.Unmarshal(text, &written); err != nil {
		return fmt.Errorf("a duration is a text such as \"1m30s\", not %s", text)
	}
	parsed, err := time.ParseDuration(written)
	*d = duration(parsed)
	return err
}

// distinct is what makes two events of a bucket the same.
type distinct struct{ entity, kind string }

type group struct {
	event.Group
	records []*stagewire.Record
}

// reduce settles a bucket: all its records and all its groups are one step.
func reduce(window *stagewire.Window, out *stagewire.Emitter) error {
	groups := map[distinct]*group{}
	for _, record := range window.Records {
		e, err := event.Parse(record.Payload())
		if err != nil {
			window.Reject(record, notAnEvent, err.Error())
			continue
		}
		id := distinct{e.Entity, e.Kind}
		g := groups[id]
		if g == nil {
			g = &group{Group: event.Group{Bucket: window.Start, Entity: e.Entity, Kind: e.Kind, Partial: !window.Complete}}
			groups[id] = g
		}
		g.Add(e.Value)
		g.records = append(g.records, record)
	}
	for _, g := range ordered(groups) {
		payload, err := json.Marshal(g.Group)
		if err != nil {
			return err
		}
		// The id of a record follows from its parents and its place among the emissions: the same groups in the
		// same order have the same ids, however often the bucket is tried.
		out.Emit(stagewire.Output{Schema: "event.group", SchemaVersion: 1, Key: []byte(g.Entity), EventTime: window.Start,
			ContentType: "application/json", Payload: payload, Parents: g.records})
	}
	return nil
}

// ordered are the groups by entity and kind; a map has no order of its own.
func ordered(groups map[distinct]*group) []*group {
	sorted := make([]*group, 0, len(groups))
	for _, g := range groups {
		sorted = append(sorted, g)
	}
	sort.Slice(sorted, func(i, j int) bool {
		a, b := sorted[i], sorted[j]
		return a.Entity < b.Entity || a.Entity == b.Entity && a.Kind < b.Kind
	})
	return sorted
}
