package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	stagewire "stagewire.dev/sdk/go"
)

const whole = `{"time":"2026-01-01T00:00:07Z","entity":"pump","kind":"open","value":3}`

func fileOf(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "events.jsonl")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t *testing.T, path string, at int64) *lines {
	t.Helper()
	in, err := openLines(path, at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(in.close)
	return in
}

func TestLinesGoOnWhereTheyStopped(t *testing.T) {
	path := fileOf(t, "a\nbb\nccc\n")
	in := open(t, path, 0)
	for _, want := range []string{"a", "bb"} {
		if line, err := in.next(); err != nil || string(line) != want {
			t.Fatalf("%q, %v", line, err)
		}
	}
	if line, err := open(t, path, in.at).next(); err != nil || string(line) != "ccc" {
		t.Fatalf("%q, %v", line, err)
	}
}

func TestALineThatIsBeingWrittenIsNoneYet(t *testing.T) {
	path := fileOf(t, "a\nb")
	in := open(t, path, 2)
	for i := 0; i < 2; i++ {
		if line, err := in.next(); !errors.Is(err, io.EOF) || in.at != 2 {
			t.Fatalf("%q, %v at %d", line, err, in.at)
		}
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString("c\nd\n"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"bc", "d"} {
		if line, err := in.next(); err != nil || string(line) != want {
			t.Fatalf("%q, %v", line, err)
		}
	}
	if in.at != 7 {
		t.Fatal(in.at)
	}
}

func TestALongLineIsCutAndCounted(t *testing.T) {
	long := strings.Repeat("x", 200_000)
	in := open(t, fileOf(t, long+"\n"+whole+"\n"), 0)
	step, err := gather(in, 10)
	if !errors.Is(err, io.EOF) || len(step) != 2 {
		t.Fatalf("%d lines, %v", len(step), err)
	}
	if step[0].Schema != "event.malformed" || len(step[0].Payload) != 4097 || step[1].Schema != "event" {
		t.Fatalf("%s with %d bytes, then %s", step[0].Schema, len(step[0].Payload), step[1].Schema)
	}
	if want := int64(200_001 + len(whole) + 1); in.at != want {
		t.Fatalf("at %d, not %d", in.at, want)
	}
}

func TestAFileThatWasCutIsNotReadOn(t *testing.T) {
	path := fileOf(t, "a\n")
	if _, err := openLines(path, 3); err == nil || !strings.Contains(err.Error(), "has 2 bytes, but 3") {
		t.Fatal(err)
	}
	in := open(t, path, 2)
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := in.next(); err == nil || errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
}

func TestARecordHasItsEventsTimeAndKey(t *testing.T) {
	o := output([]byte(whole))
	if string(o.Key) != "pump" || o.EventTime.Unix() != 1767225607 || string(o.Payload) != whole {
		t.Fatalf("%+v", o)
	}
	if o := output([]byte("\xff")); len(o.Key) != 0 || !o.EventTime.IsZero() || string(o.Payload) != "\xff" {
		t.Fatalf("%+v", o)
	}
	record := stagewire.NewRecord(output([]byte("restarted")))
	if why, _ := record.Attribute("error"); !strings.Contains(why.(string), "invalid character") {
		t.Fatal(why)
	}
}

func TestCheckpointsArePositions(t *testing.T) {
	for text, want := range map[string]int64{"": 0, "0": 0, "71": 71} {
		if at, err := position([]byte(text)); err != nil || at != want {
			t.Errorf("%q: %d, %v", text, at, err)
		}
	}
	for _, text := range []string{"line 2", "-1", "1.5"} {
		if _, err := position([]byte(text)); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestAConfigurationIsChecked(t *testing.T) {
	for want, wrong := range map[string]tail{"file": {Batch: 1}, "batch": {File: "f", Batch: 501}, "pace": {File: "f", Batch: 1, Pace: -1}} {
		if err := wrong.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", wrong, err)
		}
	}
	if err := (&tail{File: "f", Batch: 500}).Validate(); err != nil {
		t.Error(err)
	}
}
