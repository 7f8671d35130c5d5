// Package event has what goes from one stage to the next: events as they stand in the file, groups of equal ones, and
// groups with what the service knows of their entity.
package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

const (
	// MaxLine is the longest event, bytes; what is longer is none.
	MaxLine = 4096
	// MaxName is the longest entity or kind, bytes: far below the 1,024 that a record's key may have.
	MaxName = 200
	// MaxValue bounds values either way, so that no sum of a bucket overflows.
	MaxValue = 1_000_000_000
)

// Event is one line of the file.
type Event struct {
	Time   time.Time // UTC, later than 1970
	Entity string    // 1 to MaxName bytes
	Kind   string    // 1 to MaxName bytes
	Value  int64
}

// Group is what is left of the events of one entity and one kind in one bucket.
type Group struct {
	Bucket time.Time `json:"bucket"` // its beginning, UTC
	Entity string    `json:"entity"`
	Kind   string    `json:"kind"`
	Count  int       `json:"count"`
	Sum    int64     `json:"sum"`
	Min    int64     `json:"min"`
	Max    int64     `json:"max"`
	// Partial: the bucket had more than the broker lets a worker hold, and there are further groups of the same
	// bucket, entity and kind. Their counts and sums add up.
	Partial bool `json:"partial,omitempty"`
}

// Details are what the service says of an entity.
type Details struct {
	Site string `json:"site"`
	Tier string `json:"tier"`
}

// Enriched is a group with its entity's details.
type Enriched struct {
	Group
	Details
}

// Parse reads a line. Its errors say what is wrong with it. Names that are not known are ignored: whoever writes
// events may have more to say.
func Parse(line []byte) (Event, error) {
	if len(line) > MaxLine {
		return Event{}, fmt.Errorf("a line of more than %d bytes", MaxLine)
	}
	var raw struct {
		Time         *time.Time
		Entity, Kind string
		Value        *int64
	}
	if err := json.Unmarshal(line, &raw); err != nil {
		return Event{}, err
	}
	switch {
	case raw.Time == nil:
		return Event{}, errors.New("no time")
	case raw.Time.UnixMicro() <= 0: // 0 stands for no event time in a record
		return Event{}, errors.New("a time before 1970")
	case len(raw.Entity) == 0 || len(raw.Entity) > MaxName:
		return Event{}, fmt.Errorf("an entity of %d bytes, not 1 to %d", len(raw.Entity), MaxName)
	case len(raw.Kind) == 0 || len(raw.Kind) > MaxName:
		return Event{}, fmt.Errorf("a kind of %d bytes, not 1 to %d", len(raw.Kind), MaxName)
	case raw.Value == nil:
		return Event{}, errors.New("no value")
	case *raw.Value < -MaxValue || *raw.Value > MaxValue:
		return Event{}, fmt.Errorf("the value %d is beyond %d", *raw.Value, MaxValue)
	}
	return Event{Time: raw.Time.UTC(), Entity: raw.Entity, Kind: raw.Kind, Value: *raw.Value}, nil
}

// Add counts one more event of the group.
func (g *Group) Add(value int64) {
	if g.Count == 0 || value < g.Min {
		g.Min = value
	}
	if g.Count == 0 || value > g.Max {
		g.Max = value
	}
	g.Count++
	g.Sum += value
}
