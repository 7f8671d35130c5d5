package main

import (
	"fmt"
	"strconv"
	"time"

	stagewire "stagewire.dev/sdk/go"
)

type sourceConfig struct {
	Partition string `json:"partition"`
	Records   int    `json:"records"`
	PerEmit   int    `json:"per_emit"`
	Size      int    `json:"size"`
	Keys      int    `json:"keys"`
	PauseMS   uint32 `json:"pause_ms"`
	Stay      bool   `json:"stay"`
}

// Validate refuses numbers with which nothing could be emitted.
func (c *sourceConfig) Validate() error {
	if c.PerEmit < 1 || c.Keys < 1 {
		return fmt.Errorf("per_emit and keys are at least 1, not %d and %d", c.PerEmit, c.Keys)
	}
	return nil
}

// run emits the numbers behind the checkpoint, up to Records.
func (c *sourceConfig) run(source *stagewire.Source) error {
	partition, err := source.Claim(c.Partition)
	if err != nil {
		return err
	}
	last := 0
	if checkpoint := string(partition.Checkpoint()); checkpoint != "" {
		if last, err = strconv.Atoi(checkpoint); err != nil {
			return fmt.Errorf("the checkpoint is not a number: %q", checkpoint)
		}
	}
	for last < c.Records {
		var outputs []stagewire.Output
		for len(outputs) < c.PerEmit && last < c.Records {
			last++
			outputs = append(outputs, stagewire.Output{Key: []byte("k" + strconv.Itoa(last%c.Keys)), Payload: padded(last, c.Size)})
		}
		if err := partition.Emit(outputs, []byte(strconv.Itoa(last))); err != nil {
			return err
		}
		if c.PauseMS > 0 && last < c.Records {
			select {
			case <-time.After(milliseconds(c.PauseMS)):
			case <-source.Context().Done():
				return stagewire.ErrStopped
			}
		}
	}
	if c.Stay {
		<-source.Context().Done()
		return stagewire.ErrStopped
	}
	return nil // the partition is finished
}
