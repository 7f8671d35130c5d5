// Normalise turns raw lines of sensor readings ("2013-07-04 00:00:00,69.88", in Fahrenheit) into
// JSON readings in Celsius. Lines that are no readings are dropped, and counted on stderr at the end.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	stagewire "stagewire.dev/sdk/go"
)

// reading is the payload of schema sensor.reading, version 1.
type reading struct {
	Sensor  string  `json:"sensor"`
	Time    string  `json:"time"` // RFC 3339
	Celsius float64 `json:"celsius"`
	Line    int64   `json:"line,omitempty"` // in the file it came from
}

func main() {
	normaliser := &normaliser{}
	code := stagewire.RunTransform(normaliser.handle, stagewire.Version("0.1.0"))
	if normaliser.dropped > 0 {
		fmt.Fprintf(os.Stderr, "normalise: %d lines were no readings and have been dropped; the last: %s\n", normaliser.dropped, normaliser.last)
	}
	os.Exit(code)
}

type normaliser struct {
	dropped int
	last    string // why the last line was dropped
}

func (n *normaliser) handle(record *stagewire.Record, out *stagewire.Emitter) error {
	reading, at, err := parse(record)
	if err != nil {
		n.dropped++
		n.last = err.Error()
		return nil
	}
	payload, err := json.Marshal(reading)
	if err != nil {
		return err
	}
	out.Emit(stagewire.Output{
		Schema: "sensor.reading", SchemaVersion: 1, Key: record.Key(), EventTime: at, ContentType: "application/json",
		Attributes: []stagewire.Attribute{stagewire.Text("sensor", reading.Sensor)}, Payload: payload,
	})
	return nil
}

func parse(record *stagewire.Record) (r reading, at time.Time, err error) {
	timestamp, value, found := strings.Cut(string(record.Payload()), ",")
	if !found {
		return r, at, fmt.Errorf("no comma in %q", record.Payload())
	}
	if at, err = time.ParseInLocation("2006-01-02 15:04:05", timestamp, time.UTC); err != nil {
		return r, at, err
	}
	fahrenheit, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return r, at, err
	}
	if math.IsNaN(fahrenheit) || math.IsInf(fahrenheit, 0) {
		return r, at, fmt.Errorf("%q is not a temperature", value)
	}
	if !utf8.Valid(record.Key()) {
		return r, at, errors.New("the sensor's name is not UTF-8")
	}
	r = reading{Sensor: string(record.Key()), Time: at.Format(time.RFC3339), Celsius: (fahrenheit - 32) * 5 / 9}
	if line, ok := record.Attribute("line"); ok {
		r.Line, _ = line.(int64)
	}
	return r, at, nil
}
