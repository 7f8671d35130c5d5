// Enrich asks a service over HTTP for what it knows of each group's entity. What fails is given back, to be tried again
// by the pipeline's `retry`: after a delay that doubles, until the group is too old and becomes a dead letter.
//
// The service's address is the configuration's `url`, or the variable ENRICH_URL.
package main

import (
	"encoding/json"
	"errors"
	"os"

	stagewire "stagewire.dev/sdk/go"

	"stagewire.dev/examples/compaction/event"
)

// requests is how many are in flight at once. Those of one entity are not: a key's records are handled one after the other.
const requests = 16

func main() {
	service := &client{Timeout: 1000}
	handle := func(record *stagewire.Record, out *stagewire.Emitter) error { return enrich(service, record, out) }
	os.Exit(stagewire.RunTransform(handle, stagewire.Config(service), stagewire.Workers(requests), stagewire.Version("0.1.0")))
}

func enrich(service *client, record *stagewire.Record, out *stagewire.Emitter) error {
	var group event.Group
	if err := json.Unmarshal(record.Payload(), &group); err != nil {
		return stagewire.Reject(notAGroup, err.Error())
	}
	details, err := service.details(record.Context(), group.Entity, record.ID().String())
	if err != nil {
		return verdict(err)
	}
	payload, err := json.Marshal(event.Enriched{Group: group, Details: details})
	if err != nil {
		return err
	}
	out.Emit(stagewire.Output{Schema: "event.enriched", SchemaVersion: 1, Key: record.Key(), EventTime: record.EventTime(),
		ContentType: "application/json", Payload: payload})
	return nil
}

// verdict is what becomes of a group whose request failed. Any other error is that of a context: the SDK gives the
// group back untouched.
func verdict(err error) error {
	var failed *failure
	switch {
	case !errors.As(err, &failed):
		return err
	case failed.isFinal:
		return stagewire.Reject(failed.code, failed.message)
	default:
		return stagewire.RetryCode(failed.code, 0, failed.message) // 0: the pipeline's backoff
	}
}
