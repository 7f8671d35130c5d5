package stagewire

import (
	"context"
	"encoding/hex"
	"fmt"
	"math"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "stagewire.dev/sdk/go/stagewirepb"
)

// Record is one record as it was delivered. It is read-only, and what its methods return stays valid
// after the handler has returned. The slices point into the received frame: do not change them.
type Record struct {
	size     int // bytes as they count against credit
	delivery uint64
	attempt  uint32
	input    uint32
	header   []byte
	payload  []byte
	lineage  []byte

	schema, key, contentType []byte
	schemaVersion            uint32
	eventTime                int64

	session *session // resolves inputs and runs; nil in records made by NewRecord
	caller  *caller  // whose handler has it; nil: the session's main one
}

// Payload is what the author of the upstream stage wrote; it may be empty.
func (r *Record) Payload() []byte { return r.payload }

// Key orders records: those of one key arrive in order. Empty: no key.
func (r *Record) Key() []byte { return r.key }

// Schema names what the payload follows, for example "sensor.raw".
func (r *Record) Schema() string { return string(r.schema) }

// SchemaVersion is the version of Schema; 0: not stated.
func (r *Record) SchemaVersion() uint32 { return r.schemaVersion }

// ContentType is for example "application/json"; empty: not stated.
func (r *Record) ContentType() string { return string(r.contentType) }

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
	if r.session == nil {
		return context.Background()
	}
	return r.session.callContext(r.caller)
}

// Input names the upstream stage and its port.
func (r *Record) Input() (stage, port string) {
	if r.session != nil {
		for _, input := range r.session.welcome.Inputs {
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
	var header pb.Header
	if len(r.header) == 0 || proto.Unmarshal(r.header, &header) != nil {
		return nil
	}
	attributes := make([]Attribute, 0, len(header.Attributes))
	for _, a := range header.Attributes {
		switch v := a.Value.(type) {
		case *pb.Attribute_Text:
			attributes = append(attributes, Text(a.Name, v.Text))
		case *pb.Attribute_Integer:
			attributes = append(attributes, Integer(a.Name, v.Integer))
		case *pb.Attribute_Number:
			attributes = append(attributes, Number(a.Name, v.Number))
		case *pb.Attribute_Flag:
			attributes = append(attributes, Flag(a.Name, v.Flag))
		}
	}
	return attributes
}

// Output is an output with this record's header (attributes included) and payload, to be changed and emitted.
func (r *Record) Output() Output {
	return Output{Schema: r.Schema(), SchemaVersion: r.schemaVersion, Key: r.key, EventTime: r.EventTime(),
		ContentType: r.ContentType(), Attributes: r.Attributes(), Payload: r.payload}
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
	if err := proto.Unmarshal(r.lineage, &raw); err != nil {
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
		if run := r.session.run(hop.Run); run != nil {
			h.Stage, h.Version, h.Instance, h.Language = run.Stage, run.Version, run.Instance, run.Language
		}
		l.Hops = append(l.Hops, h)
	}
	return l, nil
}

// ID is the record's identity; all zero in records made by NewRecord.
func (r *Record) ID() RecordID {
	// `id` is field 1 of the lineage, and the broker writes fields in ascending order.
	if number, kind, n := protowire.ConsumeTag(r.lineage); n > 0 && number == 1 && kind == protowire.BytesType {
		if id, m := protowire.ConsumeBytes(r.lineage[n:]); m > 0 {
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
	return &record
}

// decodeRecord finds the parts of a record without copying or allocating.
func decodeRecord(b []byte) (r Record, err error) {
	r.size = len(b)
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return r, malformed("Record", n)
		}
		b = b[n:]
		if kind == protowire.BytesType && number <= 3 {
			var value []byte
			if value, n = protowire.ConsumeBytes(b); n < 0 {
				return r, malformed("Record", n)
			}
			switch number {
			case 1:
				r.lineage = value
			case 2:
				if err = r.decodeHeader(value); err != nil {
					return r, err
				}
			case 3:
				r.payload = value
			}
		} else if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
			return r, malformed("Record", n)
		}
		b = b[n:]
	}
	return r, nil
}

// decodeHeader finds the header's scalars; attributes are decoded only when asked for.
func (r *Record) decodeHeader(b []byte) error {
	r.header = b
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return malformed("Header", n)
		}
		b = b[n:]
		switch {
		case number == 1 && kind == protowire.BytesType:
			r.schema, n = protowire.ConsumeBytes(b)
		case number == 2 && kind == protowire.VarintType:
			var v uint64
			v, n = protowire.ConsumeVarint(b)
			r.schemaVersion = uint32(v)
		case number == 3 && kind == protowire.BytesType:
			r.key, n = protowire.ConsumeBytes(b)
		case number == 4 && kind == protowire.Fixed64Type:
			var v uint64
			v, n = protowire.ConsumeFixed64(b)
			r.eventTime = int64(v)
		case number == 5 && kind == protowire.BytesType:
			r.contentType, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(number, kind, b)
		}
		if n < 0 {
			return malformed("Header", n)
		}
		b = b[n:]
	}
	return nil
}

// decodeDeliver turns the bytes of a Deliver into records.
func decodeDeliver(b []byte, s *session) (records []Record, input uint32, err error) {
	var first uint64
	var attempts []uint32
	records = make([]Record, 0, len(b)/256+1)
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil, 0, malformed("Deliver", n)
		}
		b = b[n:]
		switch {
		case number == 1 && kind == protowire.VarintType:
			var v uint64
			v, n = protowire.ConsumeVarint(b)
			input = uint32(v)
		case number == 2 && kind == protowire.VarintType:
			first, n = protowire.ConsumeVarint(b)
		case number == 3:
			attempts, n = consumeAttempts(attempts, kind, b)
		case number == 4 && kind == protowire.BytesType:
			var value []byte
			if value, n = protowire.ConsumeBytes(b); n >= 0 {
				record, err := decodeRecord(value)
				if err != nil {
					return nil, 0, err
				}
				records = append(records, record)
			}
		default:
			n = protowire.ConsumeFieldValue(number, kind, b)
		}
		if n < 0 {
			return nil, 0, malformed("Deliver", n)
		}
		b = b[n:]
	}
	if first == 0 || first-1 > math.MaxUint64-uint64(len(records)) || (len(attempts) != 0 && len(attempts) != len(records)) {
		return nil, 0, &closeError{code: MalformedFrame, message: "a Deliver's delivery ids or attempts do not fit its records"}
	}
	for i := range records {
		r := &records[i]
		r.delivery, r.input, r.attempt, r.session = first+uint64(i), input, 1, s
		if len(attempts) > 0 {
			r.attempt = attempts[i]
		}
	}
	return records, input, nil
}

// consumeAttempts reads a repeated uint32, packed or not.
func consumeAttempts(attempts []uint32, kind protowire.Type, b []byte) ([]uint32, int) {
	if kind == protowire.VarintType {
		v, n := protowire.ConsumeVarint(b)
		return append(attempts, uint32(v)), n
	}
	packed, n := protowire.ConsumeBytes(b)
	for len(packed) > 0 {
		v, m := protowire.ConsumeVarint(packed)
		if m < 0 {
			return attempts, m
		}
		attempts, packed = append(attempts, uint32(v)), packed[m:]
	}
	return attempts, n
}
