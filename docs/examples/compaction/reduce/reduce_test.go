package main

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	stagewire "stagewire.dev/sdk/go"
)

var start = time.Date(2026, 1, 1, 0, 3, 0, 0, time.UTC)

func record(second int, entity, kind string, value int) *stagewire.Record {
	at := start.Add(time.Duration(second) * time.Second)
	return stagewire.NewRecord(stagewire.Output{Key: []byte(entity), EventTime: at, Payload: []byte(fmt.Sprintf(
		`{"time":"%s","entity":"%s","kind":"%s","value":%d}`, at.Format(time.RFC3339), entity, kind, value))})
}

func reduced(t *testing.T, window *stagewire.Window) (payloads []string) {
	t.Helper()
	out, outputs := stagewire.Recorder()
	if err := reduce(window, out); err != nil {
		t.Fatal(err)
	}
	for _, output := range outputs() {
		if !output.EventTime().Equal(start) {
			t.Errorf("the group's time is %v", output.EventTime())
		}
		payloads = append(payloads, string(output.Key())+" "+string(output.Payload()))
	}
	return payloads
}

func TestWhatIsTheSameIsOneGroupInOrder(t *testing.T) {
	window := &stagewire.Window{Start: start, Complete: true, Records: []*stagewire.Record{
		record(9, "pump", "open", 4), record(1, "pump", "close", 7), record(2, "door", "open", 1), record(3, "pump", "open", -6),
	}}
	want := []string{
		`door {"bucket":"2026-01-01T00:03:00Z","entity":"door","kind":"open","count":1,"sum":1,"min":1,"max":1}`,
		`pump {"bucket":"2026-01-01T00:03:00Z","entity":"pump","kind":"close","count":1,"sum":7,"min":7,"max":7}`,
		`pump {"bucket":"2026-01-01T00:03:00Z","entity":"pump","kind":"open","count":2,"sum":-2,"min":-6,"max":4}`,
	}
	// Often enough that an order left to a map would show.
	for i := 0; i < 20; i++ {
		if got := reduced(t, window); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%q", got)
		}
	}
}

func TestAPartOfABucketSaysSo(t *testing.T) {
	got := reduced(t, &stagewire.Window{Start: start, Records: []*stagewire.Record{record(1, "door", "open", 1)}})
	if len(got) != 1 || got[0][len(got[0])-15:] != `"partial":true}` {
		t.Fatalf("%q", got)
	}
}

func TestWhatIsNoEventIsRejectedAlone(t *testing.T) {
	broken := stagewire.NewRecord(stagewire.Output{EventTime: start, Payload: []byte("{}")})
	window := &stagewire.Window{Start: start, Complete: true, Records: []*stagewire.Record{broken, record(1, "door", "open", 1)}}
	if got := reduced(t, window); len(got) != 1 {
		t.Fatalf("%q", got)
	}
}

func TestAConfigurationIsReadAndChecked(t *testing.T) {
	r := &reducer{}
	if err := json.Unmarshal([]byte(`{"bucket":"5m","lateness":"1m30s"}`), r); err != nil {
		t.Fatal(err)
	}
	if b := r.bounds(); b.EventTime != 5*time.Minute || b.Lateness != 90*time.Second || b.Idle >= 0 {
		t.Fatalf("%+v", b)
	}
	for _, wrong := range []string{`{"bucket":60}`, `{"bucket":"an hour"}`} {
		if err := json.Unmarshal([]byte(wrong), &reducer{}); err == nil {
			t.Errorf("%s was taken", wrong)
		}
	}
	for _, wrong := range []reducer{{}, {Bucket: duration(time.Minute), Lateness: -1}} {
		if err := wrong.Validate(); err == nil {
			t.Errorf("%+v was taken", wrong)
		}
	}
}
