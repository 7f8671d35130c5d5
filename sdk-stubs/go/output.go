package stagewire

import (
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Output is a record to be emitted. Only Payload is usual for all; the zero value of a field means
// that it is not stated.
type Output struct {
	Port          string // an output port of the stage; empty: its first
	Schema        string
	SchemaVersion uint32
	Key           []byte    // at most 1 KiB; records of one key keep their order
	EventTime     time.Time // kept in microseconds
	ContentType   string
	Attributes    []Attribute // at most 64; what `when` in pipeline.yaml reads
	Payload       []byte
	Trace         Trace     // sources only
	Parents       []*Record // windows only: records of the window that this one descends from; none named: all

	header []byte // encoded; in place of Schema to Attributes
}

// Trace is a W3C trace context, carried unchanged.
type Trace struct{ Parent, State string }

// Attribute is a named scalar of a header.
type Attribute struct {
	name string
	kind protowire.Number // its field in the oneof
	text string
	bits uint64
}

// Text is an attribute that holds a string.
func Text(name, value string) Attribute { return Attribute{name: name, kind: 2, text: value} }

// Integer is an attribute that holds a whole number.
func Integer(name string, value int64) Attribute {
	return Attribute{name: name, kind: 3, bits: uint64(value)}
}

// Number is an attribute that holds a floating-point number.
func Number(name string, value float64) Attribute {
	return Attribute{name: name, kind: 4, bits: math.Float64bits(value)}
}

// Flag is an attribute that holds true or false.
func Flag(name string, value bool) Attribute {
	return Attribute{name: name, kind: 5, bits: protowire.EncodeBool(value)}
}

// Name of the attribute.
func (a Attribute) Name() string { return a.name }

// Value is a string, int64, float64 or bool.
func (a Attribute) Value() any {
	switch a.kind {
	case 3:
		return int64(a.bits)
	case 4:
		return math.Float64frombits(a.bits)
	case 5:
		return a.bits != 0
	}
	return a.text
}

func (a Attribute) appendTo(b []byte) []byte {
	b = appendBytes(b, 1, a.name)
	switch a.kind {
	case 3:
		b = protowire.AppendTag(b, 3, protowire.VarintType)
		return protowire.AppendVarint(b, protowire.EncodeZigZag(int64(a.bits)))
	case 4:
		b = protowire.AppendTag(b, 4, protowire.Fixed64Type)
		return protowire.AppendFixed64(b, a.bits)
	case 5:
		b = protowire.AppendTag(b, 5, protowire.VarintType)
		return protowire.AppendVarint(b, a.bits)
	}
	// A oneof member is written even if it is empty: that is what says which one is set.
	b = protowire.AppendTag(b, 2, protowire.BytesType)
	return protowire.AppendString(b, a.text)
}

// problem is what the broker would refuse in an output; empty: nothing.
func (o *Output) problem() string {
	switch {
	case len(o.Key) > maxKey:
		return fmt.Sprintf("a key of %d bytes; at most %d", len(o.Key), maxKey)
	case !utf8.ValidString(o.Schema):
		return fmt.Sprintf("a schema that is not UTF-8: %q", o.Schema)
	case !utf8.ValidString(o.ContentType):
		return fmt.Sprintf("a content type that is not UTF-8: %q", o.ContentType)
	case len(o.Attributes) > maxAttributes:
		return fmt.Sprintf("%d attributes; at most %d", len(o.Attributes), maxAttributes)
	}
	size := len(o.Schema) + len(o.Key) + len(o.ContentType)
	for i := range o.Attributes {
		a := &o.Attributes[i]
		size += len(a.name) + len(a.text) + 16
		if !utf8.ValidString(a.name) || !utf8.ValidString(a.text) {
			return fmt.Sprintf("an attribute that is not UTF-8: %q: %q", a.name, a.text)
		}
	}
	// Exact only where it matters: a header's few numbers and tags take less than 48 bytes.
	if size+48 > maxHeader {
		if exact := len(o.appendHeader(nil)); exact > maxHeader {
			return fmt.Sprintf("a header of %d bytes; at most %d", exact, maxHeader)
		}
	}
	return ""
}

// appendTo encodes the Record message.
func (o *Output) appendTo(b []byte) []byte {
	mark := len(b)
	b = o.appendHeader(b)
	b = wrap(b, mark, 2)
	return appendBytes(b, 3, o.Payload)
}

func (o *Output) appendHeader(b []byte) []byte {
	if o.header != nil {
		return append(b, o.header...)
	}
	b = appendBytes(b, 1, o.Schema)
	b = appendUint(b, 2, uint64(o.SchemaVersion))
	b = appendBytes(b, 3, o.Key)
	if !o.EventTime.IsZero() {
		b = protowire.AppendTag(b, 4, protowire.Fixed64Type)
		b = protowire.AppendFixed64(b, uint64(o.EventTime.UnixMicro()))
	}
	b = appendBytes(b, 5, o.ContentType)
	for _, attribute := range o.Attributes {
		mark := len(b)
		b = attribute.appendTo(b)
		b = wrap(b, mark, 6)
	}
	return b
}

func (t Trace) appendTo(b []byte, field protowire.Number) []byte {
	if t == (Trace{}) {
		return b
	}
	mark := len(b)
	b = appendBytes(b, 1, t.Parent)
	b = appendBytes(b, 2, t.State)
	return wrap(b, mark, field)
}

// wrap turns what was appended since mark into a length-delimited field, by moving it behind its own
// tag and length. Nothing since mark: no field.
func wrap(b []byte, mark int, field protowire.Number) []byte {
	length := len(b) - mark
	if length == 0 {
		return b
	}
	head := protowire.SizeTag(field) + protowire.SizeVarint(uint64(length))
	for i := 0; i < head; i++ {
		b = append(b, 0)
	}
	copy(b[mark+head:], b[mark:mark+length])
	protowire.AppendVarint(protowire.AppendTag(b[:mark], field, protowire.BytesType), uint64(length))
	return b
}

func appendBytes[T string | []byte](b []byte, field protowire.Number, value T) []byte {
	if len(value) == 0 {
		return b
	}
	b = protowire.AppendTag(b, field, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(len(value)))
	return append(b, value...)
}

func appendUint(b []byte, field protowire.Number, value uint64) []byte {
	if value == 0 {
		return b
	}
	b = protowire.AppendTag(b, field, protowire.VarintType)
	return protowire.AppendVarint(b, value)
}
