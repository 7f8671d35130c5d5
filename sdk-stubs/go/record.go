package stagewire

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "stagewire.dev/sdk/go/stagewirepb"
)

// Record is one record as it was delivered. It is read-only, and what its methods return stays valid
// after the handler has returned. The slices point into the received frame: do not change them.
//
// The records of a Deliver are one allocation, and their bytes are those of its frame: whoever keeps a record
// keeps both, with all its neighbours (windows that last clone theirs for that reason). Neither is used again, so
// a handler may keep what it likes. What a record consists of is kept as offsets, and what it has in common with
// its neighbours once, for the garbage collector goes through all that wait in the queue, pointer by pointer.
type Record struct {
	origin   *origin // nil in the zero Record
	caller   *caller // whose handler has it; nil: the session's main one
	delivery uint64

	eventTime                                          int64
	attempt, input, schemaVersion                      uint32
	attributes                                         uint32 // how many
	at, size                                           uint32 // of the record in its origin; the size counts against credit
	lineage, header, payload, schema, key, contentType part
}

// origin is what the records of one Deliver have in common.
type origin struct {
	bytes   []byte   // of the Deliver
	session *session // resolves inputs and runs; nil in records made by NewRecord
}

// part is where a field's value stands in its record. A frame has less than 4 GiB.
type part struct{ at, length uint32 }

// of is the part's bytes; nil: it is empty, or not there. What is appended to it does not write into its neighbour.
func (p part) of(r *Record) []byte {
	if p.length == 0 {
		return nil
	}
	begin := r.at + p.at
	end := begin + p.length
	return r.origin.bytes[begin:end:end]
}

// encoded is the record as it was delivered.
func (r *Record) encoded() []byte { return part{0, r.size}.of(r) }

func (r *Record) session() *session {
	if r.origin == nil {
		return nil
	}
	return r.origin.session
}

// Payload is what the author of the upstream stage wrote; it may be empty.
func (r *Record) Payload() []byte { return r.payload.of(r) }

// Key orders records: those of one key arrive in order. Empty: no key.
func (r *Record) Key() []byte { return r.key.of(r) }

// Schema names what the payload follows, for example "sensor.raw".
func (r *Record) Schema() string { return r.text(r.schema) }

// SchemaVersion is the version of Schema; 0: not stated.
func (r *Record) SchemaVersion() uint32 { return r.schemaVersion }

// ContentType is for example "application/json"; empty: not stated.
func (r *Record) ContentType() string { return r.text(r.contentType) }

// EventTime is when the thing happened, in microseconds of precision; the zero Time: not known.
func (r *Record) EventTime() time.Time {
	if r.eventTime == 0 {
		return time.Time{}
	}
	return time.UnixMicro(r.eventTime).UTC()
}

// Attempt counts deliveries of this record to this stage, from 1.
func (r *Record) Attempt() int { return int(r.attempt) }

// Context ends when the handler that was given this record has worked for its Timeout, when it has
// returned, when the connection has ended, or when the worker is to stop. A handler that waits for
// something hands it on; if it then returns context.Canceled because the worker stops, the record is
// released untouched. Without a broker it never ends.
func (r *Record) Context() context.Context {
	if s := r.session(); s != nil {
		return s.callContext(r.caller)
	}
	return context.Background()
}

// Input names the upstream stage and its port.
func (r *Record) Input() (stage, port string) {
	if s := r.session(); s != nil {
		for _, input := range s.welcome.Inputs {
			if input.Number == r.input {
				return input.Stage, input.Port
			}
		}
	}
	return "", ""
}

// Attribute finds a header attribute: a string, int64, float64 or bool.
func (r *Record) Attribute(name string) (value any, ok bool) {
	for _, attribute := range r.Attributes() {
		if attribute.name == name {
			return attribute.Value(), true
		}
	}
	return nil, false
}

// Attributes are those of the header, in order. The first one of a name counts.
func (r *Record) Attributes() []Attribute {
	header := r.header.of(r)
	switch {
	case len(header) == 0:
		return nil
	case r.attributes == 0:
		return []Attribute{}
	}
	return decodeAttributes(header, int(r.attributes), r.texts())
}

// Output is an output with this record's header (attributes included) and payload, to be changed and emitted.
func (r *Record) Output() (o Output) {
	o.Schema, o.SchemaVersion, o.Key, o.EventTime = r.Schema(), r.schemaVersion, r.Key(), r.EventTime()
	o.ContentType, o.Attributes, o.Payload = r.ContentType(), r.Attributes(), r.Payload()
	return o
}

func (r *Record) text(p part) string {
	if p.length == 0 {
		return ""
	}
	return r.texts().of(p.of(r))
}

// texts are those of the session, if there is one.
func (r *Record) texts() *texts {
	if s := r.session(); s != nil {
		return &s.texts
	}
	return nil
}

// RecordID is the 128-bit identity that the broker gave to a record.
type RecordID [16]byte

// String is 32 hexadecimal digits.
func (id RecordID) String() string { return hex.EncodeToString(id[:]) }

// Hop is one stage's part in a record.
type Hop struct {
	Stage, Version, Instance, Language string
	Time                               time.Time // when the broker took the emission
	Attempt                            int       // of the delivery that led to it
}

// Lineage is where a record comes from, as the broker stamped it.
type Lineage struct {
	ID               RecordID
	Parents          []RecordID // at most 16; none for a source's record
	ParentsTruncated bool
	Root             RecordID  // the source record it goes back to; its own ID for a source's record
	IngestTime       time.Time // when the root entered the broker
	Hops             []Hop     // oldest first
	TraceParent      string
	TraceState       string
}

// Lineage decodes where the record comes from; this costs something, so it is done when asked for.
func (r *Record) Lineage() (Lineage, error) {
	var raw pb.Lineage
	if err := proto.Unmarshal(r.lineage.of(r), &raw); err != nil {
		return Lineage{}, fmt.Errorf("the lineage of delivery %d cannot be decoded: %w", r.delivery, err)
	}
	l := Lineage{ID: recordID(raw.Id), ParentsTruncated: raw.ParentsTruncated, Root: recordID(raw.Root),
		IngestTime:  time.UnixMicro(int64(raw.IngestTime)).UTC(),
		TraceParent: raw.GetTrace().GetTraceparent(), TraceState: raw.GetTrace().GetTracestate()}
	if len(raw.Root) == 0 {
		l.Root = l.ID
	}
	for _, parent := range raw.Parents {
		l.Parents = append(l.Parents, recordID(parent))
	}
	for _, hop := range raw.Hops {
		h := Hop{Time: time.UnixMicro(int64(raw.IngestTime + hop.Delta)).UTC(), Attempt: int(hop.Attempt)}
		if h.Attempt == 0 {
			h.Attempt = 1
		}
		if run := r.session().run(hop.Run); run != nil {
			h.Stage, h.Version, h.Instance, h.Language = run.Stage, run.Version, run.Instance, run.Language
		}
		l.Hops = append(l.Hops, h)
	}
	return l, nil
}

// ID is the record's identity; all zero in records made by NewRecord.
func (r *Record) ID() RecordID {
	// `id` is field 1 of the lineage, and the broker writes fields in ascending order.
	lineage := r.lineage.of(r)
	if number, kind, n := protowire.ConsumeTag(lineage); n > 0 && number == 1 && kind == protowire.BytesType {
		if id, m := protowire.ConsumeBytes(lineage[n:]); m > 0 {
			return recordID(id)
		}
	}
	return RecordID{}
}

func recordID(b []byte) (id RecordID) {
	copy(id[:], b)
	return id
}

// NewRecord makes a record as if it had been delivered, for testing a handler without a broker.
func NewRecord(output Output) *Record {
	record, err := decodeRecord(output.appendTo(nil))
	if err != nil {
		panic("stagewire: a record that we encoded cannot be decoded: " + err.Error())
	}
	record.attempt = 1
	return record
}

// decodeRecord makes a record of its bytes, which it keeps.
func decodeRecord(b []byte) (*Record, error) {
	r := &Record{origin: &origin{bytes: b}}
	return r, r.decode(0, len(b))
}
