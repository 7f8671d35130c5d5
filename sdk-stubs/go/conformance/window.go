package main

import (
	"bytes"
	"strings"
	"time"

	stagewire "stagewire.dev/sdk/go"
)

type windowConfig struct {
	Records int     `json:"records"`
	Seconds float64 `json:"seconds"`
	ByKey   bool    `json:"by_key"`
}

func (c *windowConfig) bounds() stagewire.Bounds {
	return stagewire.Bounds{Records: c.Records, Duration: time.Duration(c.Seconds * float64(time.Second)), ByKey: c.ByKey}
}

// join emits the window's payloads as one record, unless one of them asks for something else.
func join(window *stagewire.Window, out *stagewire.Emitter) error {
	payloads := make([][]byte, len(window.Records))
	isJudged := false
	for i, record := range window.Records {
		payloads[i] = record.Payload()
		if isJudged { // the first counts
			continue
		}
		var err error
		directive, _, _ := strings.Cut(string(record.Payload()), ";")
		if isJudged, err = judge(directive); err != nil {
			return err
		}
	}
	out.Emit(stagewire.Output{Port: "out", Key: window.Key, Payload: bytes.Join(payloads, []byte(","))})
	return nil
}
