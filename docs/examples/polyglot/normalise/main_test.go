package main

import (
	"testing"

	stagewire "stagewire.dev/sdk/go"
)

func line(text string) *stagewire.Record {
	return stagewire.NewRecord(stagewire.Output{Key: []byte("room"), Payload: []byte(text),
		Attributes: []stagewire.Attribute{stagewire.Integer("line", 2)}})
}

func TestAReadingIsConverted(t *testing.T) {
	out, outputs := stagewire.Recorder()
	if err := (&normaliser{}).handle(line("2013-07-04 01:00:00,50"), out); err != nil {
		t.Fatal(err)
	}
	r := outputs()[0]
	if string(r.Payload()) != `{"sensor":"room","time":"2013-07-04T01:00:00Z","celsius":10,"line":2}` {
		t.Fatalf("%s", r.Payload())
	}
	sensor, _ := r.Attribute("sensor")
	if r.Schema() != "sensor.reading" || r.SchemaVersion() != 1 || string(r.Key()) != "room" || sensor != "room" ||
		r.EventTime().Unix() != 1372899600 || r.ContentType() != "application/json" {
		t.Fatalf("%+v", r.Output())
	}
}

func TestTimesAndUnitsAreMadeTheSame(t *testing.T) {
	for text, want := range map[string]string{
		"2024-03-01T08:15:00+01:00,21.5,C": `{"sensor":"room","time":"2024-03-01T07:15:00Z","celsius":21.5,"line":2}`,
		"1709280900,273.15,K":              `{"sensor":"room","time":"2024-03-01T08:15:00Z","celsius":0,"line":2}`,
		"2024-03-01 08:15:00,32,F":         `{"sensor":"room","time":"2024-03-01T08:15:00Z","celsius":0,"line":2}`,
	} {
		out, outputs := stagewire.Recorder()
		if err := (&normaliser{}).handle(line(text), out); err != nil {
			t.Fatal(err)
		}
		if got := string(outputs()[0].Payload()); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestWhatIsNoReadingIsDroppedAndCounted(t *testing.T) {
	n := &normaliser{}
	out, outputs := stagewire.Recorder()
	wrong := []string{"", "timestamp,value", "2013-07-04 01:00:00", "2013-07-04 01:00:00,", "2013-07-04 01:00:00,NaN",
		"2013-07-04 01:00:00,Inf", "2013-13-04 01:00:00,5", "2013-07-04 01:00:00,5,6", "-5,1", "1709280900,5,C,", "\xff,\xff"}
	irrelevant := []string{"# restarted", "2013-07-04 01:00:00,55,%", "1709280900,1013.2,hPa"}
	for _, text := range append(wrong, irrelevant...) {
		if err := n.handle(line(text), out); err != nil {
			t.Fatal(text, err)
		}
	}
	if n.malformed != len(wrong) || n.irrelevant != len(irrelevant) || len(outputs()) != 0 || n.last == "" {
		t.Fatalf("dropped %d and %d of %d and %d", n.malformed, n.irrelevant, len(wrong), len(irrelevant))
	}
}
