// Normalise makes readings of lines that sensors wrote: a time, a value and perhaps a unit,
//
//	2013-07-04 00:00:00,69.88        Fahrenheit and UTC, where nothing else is said
//	2024-03-01T08:15:00+01:00,21.5,C
//	1709280900,294.65,K
//
// It drops what is irrelevant (comments, other quantities than temperature) and what is malformed, and says at the end how
// many lines of each there were.
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
	Time    string  `json:"time"` // RFC 3339, UTC
	Celsius float64 `json:"celsius"`
	Line    int64   `json:"line,omitempty"` // in the file it came from
}

func main() {
	normaliser := &normaliser{}
	code := stagewire.RunTransform(normaliser.handle, stagewire.Version("0.1.0"))
	if normaliser.malformed+normaliser.irrelevant > 0 {
		fmt.Fprintf(os.Stderr, "dropped %d malformed lines and %d irrelevant ones; the last malformed one: %s\n",
			normaliser.malformed, normaliser.irrelevant, normaliser.last)
	}
	os.Exit(code)
}

type normaliser struct {
	malformed, irrelevant int
	last                  string // why the last malformed line was dropped
}

// errIrrelevant is a line that is in order, and no temperature.
var errIrrelevant = errors.New("no temperature")

func (n *normaliser) handle(record *stagewire.Record, out *stagewire.Emitter) error {
	reading, at, err := parse(record)
	if errors.Is(err, errIrrelevant) {
		n.irrelevant++
		return nil
	}
	if err != nil {
		n.malformed++
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
	text := string(record.Payload())
	if strings.HasPrefix(text, "#") {
		return r, at, errIrrelevant
	}
	fields := strings.Split(text, ",")
	if len(fields) < 2 || len(fields) > 3 {
		return r, at, fmt.Errorf("%d fields in %q, not 2 or 3", len(fields), text)
	}
	if at, err = moment(fields[0]); err != nil {
		return r, at, err
	}
	value, err := strconv.ParseFloat(fields[1], 64)
	if err != nil {
		return r, at, err
	}
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return r, at, fmt.Errorf("%q is not a temperature", fields[1])
	}
	unit := "F"
	if len(fields) == 3 {
		unit = fields[2]
	}
	celsius, err := toCelsius(value, unit)
	if err != nil {
		return r, at, err
	}
	if !utf8.Valid(record.Key()) {
		return r, at, errors.New("the sensor's name is not UTF-8")
	}
	r = reading{Sensor: string(record.Key()), Time: at.UTC().Format(time.RFC3339), Celsius: celsius}
	if line, ok := record.Attribute("line"); ok {
		r.Line, _ = line.(int64)
	}
	return r, at, nil
}

// moment reads a time as sensors write it: with an offset, in UTC, or in seconds since 1970.
func moment(text string) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil && seconds > 0 && seconds < 1<<33 {
		return time.Unix(seconds, 0), nil
	}
	return time.ParseInLocation("2006-01-02 15:04:05", text, time.UTC)
}

func toCelsius(value float64, unit string) (float64, error) {
	switch unit {
	case "F":
		return (value - 32) * 5 / 9, nil
	case "C":
		return value, nil
	case "K":
		return value - 273.15, nil
	case "%", "hPa", "V":
		return 0, errIrrelevant
	default:
		return 0, fmt.Errorf("the unit %q is unknown", unit)
	}
}
