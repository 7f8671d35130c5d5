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

func TestWhatIsNoReadingIsDroppedAndCounted(t *testing.T) {
	n := &normaliser{}
	out, outputs := stagewire.Recorder()
	wrong := []string{"", "timestamp,value", "2013-07-04 01:00:00", "2013-07-04 01:00:00,", "2013-07-04 01:00:00,NaN",
		"2013-07-04 01:00:00,Inf", "2013-13-04 01:00:00,5", "2013-07-04 01:00:00,5,6", "\xff,\xff"}
	for _, text := range wrong {
		if err := n.handle(line(text), out); err != nil {
			t.Fatal(text, err)
		}
	}
	if n.dropped != len(wrong) || len(outputs()) != 0 || n.last == "" {
		t.Fatalf("dropped %d of %d", n.dropped, len(wrong))
	}
}
