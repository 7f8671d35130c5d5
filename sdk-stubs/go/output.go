package stagewire

import (
	"encoding/binary"
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

func (a *Attribute) appendTo(b []byte) []byte {
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
func (o *Output) appendTo(b []byte) []byte { return o.appendSized(b, o.sizeOfHeader()) }

// appendSized is appendTo for a header of about this size.
func (o *Output) appendSized(b []byte, size int) []byte {
	b, header := beginField(b, size)
	b = o.appendHeader(b)
	if header.length(b) == 0 {
		b = header.undo(b)
	} else {
		b = header.end(b, 2)
	}
	return appendBytes(b, 3, o.Payload)
}

// sizeOfHeader is about how much appendHeader will write; see openField.
func (o *Output) sizeOfHeader() int {
	if o.header != nil {
		return len(o.header)
	}
	size := len(o.Schema) + len(o.Key) + len(o.ContentType) + 8
	for i := range o.Attributes {
		size += len(o.Attributes[i].name) + len(o.Attributes[i].text) + 8
	}
	return size
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
	for i := range o.Attributes {
		a := &o.Attributes[i]
		body, attribute := beginField(b, len(a.name)+len(a.text)+8)
		b = attribute.end(a.appendTo(body), 6)
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

// openField is a length-delimited field that is being written: its value stands behind room for its tag and length,
// which are known when it ends.
type openField struct{ at, room int }

// beginField leaves room for the head of a field, of a number below 16, whose value will have about `size` bytes.
func beginField(b []byte, size int) ([]byte, openField) {
	f := openField{len(b), 2}
	for ; size >= 1<<7; size >>= 7 {
		f.room++
	}
	var room [11]byte
	return append(b, room[:f.room]...), f
}

func (f openField) length(b []byte) int { return len(b) - f.at - f.room }

// undo takes away the room in front of nothing.
func (f openField) undo(b []byte) []byte { return b[:f.at] }

// end writes the head. The value is moved only if its length takes more or fewer bytes than was expected.
func (f openField) end(b []byte, number protowire.Number) []byte {
	length := f.length(b)
	if need := 1 + protowire.SizeVarint(uint64(length)); need != f.room {
		var more [11]byte
		b = append(b, more[:]...)
		copy(b[f.at+need:], b[f.at+f.room:f.at+f.room+length])
		b = b[:f.at+need+length]
	}
	b[f.at] = byte(protowire.EncodeTag(number, protowire.BytesType))
	binary.PutUvarint(b[f.at+1:], uint64(length))
	return b
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

func appendBytes[T string | []byte](b []byte, number protowire.Number, value T) []byte {
	if len(value) == 0 {
		return b
	}
	b = appendVarint(appendTag(b, number, protowire.BytesType), uint64(len(value)))
	return append(b, value...)
}

func appendUint(b []byte, number protowire.Number, value uint64) []byte {
	if value == 0 {
		return b
	}
	return appendVarint(appendTag(b, number, protowire.VarintType), value)
}

// appendTag is protowire's for fields below 16, as ours are: one byte.
func appendTag(b []byte, number protowire.Number, kind protowire.Type) []byte {
	return append(b, byte(number)<<3|byte(kind))
}

// appendVarint is protowire's, whose call costs more than the one byte that most of ours take.
func appendVarint(b []byte, value uint64) []byte {
	if value < 0x80 {
		return append(b, byte(value))
	}
	return protowire.AppendVarint(b, value)
}
