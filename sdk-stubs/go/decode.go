package stagewire

import (
	"encoding/binary"
	"math"
	"sync/atomic"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Deliver, Record, Header and Attribute are decoded here by hand: this is done for every record, and with the
// library's messages it would cost more than all the rest. What the library refuses is refused here as well.

// Wire types as they stand in a tag behind the field's number.
const (
	ofVarint  = uint64(protowire.VarintType)
	ofFixed64 = uint64(protowire.Fixed64Type)
	ofBytes   = uint64(protowire.BytesType)
)

// nextField finds the field at `at`: its tag and where its value is, without the length of a length-delimited one.
// end < 0: it cannot be decoded, and this is protowire's error. What is usual needs none of protowire's calls: a tag
// of one byte, in front of a small number, a fixed64, or a length of one or two bytes.
func nextField(b []byte, at int) (tag uint64, begin, end int) {
	if len(b)-at < 3 || b[at] >= 0x80 || b[at] < 1<<3 {
		return nextLongField(b, at)
	}
	tag, begin = uint64(b[at]), at+1
	next := int(b[begin])
	switch tag & 7 {
	case ofVarint:
		if next < 0x80 {
			return tag, begin, begin + 1
		}
	case ofFixed64:
		if len(b)-begin >= 8 {
			return tag, begin, begin + 8
		}
	case ofBytes:
		begin++
		if next >= 0x80 {
			next += int(b[begin])<<7 - 0x80
			begin++
		}
		if end = begin + next; next < 0x80<<7 && end <= len(b) {
			return tag, begin, end
		}
	}
	return nextLongField(b, at)
}

func nextLongField(b []byte, at int) (tag uint64, begin, end int) {
	number, kind, n := protowire.ConsumeTag(b[at:])
	if n < 0 {
		return 0, 0, n
	}
	begin = at + n
	if n = protowire.ConsumeFieldValue(number, kind, b[begin:]); n < 0 {
		return 0, 0, n
	}
	end = begin + n
	if kind == protowire.BytesType {
		_, n = protowire.ConsumeVarint(b[begin:])
		begin += n
	}
	return protowire.EncodeTag(number, kind), begin, end
}

// varint is the value of a field that nextField has found.
func varint(value []byte) uint64 {
	v, _ := protowire.ConsumeVarint(value)
	return v
}

// decodeDeliver turns the bytes of a Deliver into records, which keep them.
func decodeDeliver(b []byte, s *session) (records []Record, input uint32, err error) {
	var first uint64
	var attempts []uint32
	records = make([]Record, 0, countRecords(b))
	from := &origin{b, s}
	for at := 0; at < len(b); {
		tag, begin, end := nextField(b, at)
		if end < 0 {
			return nil, 0, malformed("Deliver", end)
		}
		at = end
		switch tag {
		case 1<<3 | ofVarint:
			input = uint32(varint(b[begin:end]))
		case 2<<3 | ofVarint:
			first = varint(b[begin:end])
		case 3<<3 | ofVarint:
			attempts = append(attempts, uint32(varint(b[begin:end])))
		case 3<<3 | ofBytes:
			var n int
			if attempts, n = appendAttempts(attempts, b[begin:end]); n < 0 {
				return nil, 0, malformed("Deliver", n)
			}
		case 4<<3 | ofBytes:
			records = records[:len(records)+1] // there is room: countRecords has taken the same steps
			r := &records[len(records)-1]
			r.origin = from
			if err := r.decode(begin, end); err != nil {
				return nil, 0, err
			}
		}
	}
	if first == 0 || first-1 > math.MaxUint64-uint64(len(records)) || (len(attempts) != 0 && len(attempts) != len(records)) {
		return nil, 0, &closeError{code: MalformedFrame, message: "a Deliver's delivery ids or attempts do not fit its records"}
	}
	for i := range records {
		r := &records[i]
		r.delivery, r.input, r.attempt = first+uint64(i), input, 1
		if len(attempts) > 0 {
			r.attempt = attempts[i]
		}
	}
	return records, input, nil
}

// countRecords is how many records a Deliver has, as far as it can be decoded.
func countRecords(b []byte) (count int) {
	for at := 0; at < len(b); {
		tag, _, end := nextField(b, at)
		if end < 0 {
			break
		}
		if tag == 4<<3|ofBytes {
			count++
		}
		at = end
	}
	return count
}

// appendAttempts reads packed numbers. n < 0: protowire's error.
func appendAttempts(attempts []uint32, packed []byte) (all []uint32, n int) {
	for len(packed) > 0 {
		v, n := protowire.ConsumeVarint(packed)
		if n < 0 {
			return nil, n
		}
		attempts, packed = append(attempts, uint32(v)), packed[n:]
	}
	return attempts, 0
}

// decode finds the parts of a record, which is these bytes of its origin, without copying or allocating.
func (r *Record) decode(begin, end int) error {
	r.at, r.size = uint32(begin), uint32(end-begin)
	b := r.encoded()
	for at := 0; at < len(b); {
		tag, begin, end := nextField(b, at)
		if end < 0 {
			return malformed("Record", end)
		}
		at = end
		switch value := (part{uint32(begin), uint32(end - begin)}); tag {
		case 1<<3 | ofBytes:
			r.lineage = value
		case 2<<3 | ofBytes:
			r.header = value
			if err := r.decodeHeader(); err != nil {
				return err
			}
		case 3<<3 | ofBytes:
			r.payload = value
		}
	}
	return nil
}

// decodeHeader finds the header's scalars; attributes are counted here, and decoded only when asked for.
func (r *Record) decodeHeader() error {
	b := r.encoded()[:r.header.at+r.header.length]
	for at := int(r.header.at); at < len(b); {
		tag, begin, end := nextField(b, at)
		if end < 0 {
			return malformed("Header", end)
		}
		at = end
		switch value := (part{uint32(begin), uint32(end - begin)}); tag {
		case 1<<3 | ofBytes:
			r.schema = value
		case 2<<3 | ofVarint:
			r.schemaVersion = uint32(varint(b[begin:end]))
		case 3<<3 | ofBytes:
			r.key = value
		case 4<<3 | ofFixed64:
			r.eventTime = int64(binary.LittleEndian.Uint64(b[begin:end]))
		case 5<<3 | ofBytes:
			r.contentType = value
		case 6<<3 | ofBytes:
			r.attributes++
		}
	}
	return nil
}

// decodeAttributes are those of a header that decodeHeader has been through. One that cannot be decoded, or any text
// that is not UTF-8, leaves none of them.
func decodeAttributes(header []byte, count int, names *texts) []Attribute {
	attributes := make([]Attribute, 0, count)
	for at := 0; at < len(header); {
		tag, begin, end := nextField(header, at)
		if end < 0 {
			return nil
		}
		at = end
		switch value := header[begin:end]; tag {
		case 1<<3 | ofBytes, 5<<3 | ofBytes:
			if !utf8.Valid(value) {
				return nil
			}
		case 6<<3 | ofBytes:
			attribute, isSound := decodeAttribute(value, names)
			if !isSound {
				return nil
			}
			if attribute.kind != 0 { // else it is of a kind that we do not know
				attributes = append(attributes, attribute)
			}
		}
	}
	return attributes
}

// decodeAttribute decodes one; of several values the last one counts.
func decodeAttribute(b []byte, names *texts) (a Attribute, isSound bool) {
	for at := 0; at < len(b); {
		tag, begin, end := nextField(b, at)
		if end < 0 {
			return a, false
		}
		at = end
		name, value := a.name, b[begin:end]
		switch tag {
		case 1<<3 | ofBytes:
			a.name = names.of(value)
		case 2<<3 | ofBytes:
			a = Text(name, string(value))
		case 3<<3 | ofVarint:
			a = Integer(name, protowire.DecodeZigZag(varint(value)))
		case 4<<3 | ofFixed64:
			a = Number(name, math.Float64frombits(binary.LittleEndian.Uint64(value)))
		case 5<<3 | ofVarint:
			a = Flag(name, varint(value) != 0)
		}
		if (tag == 1<<3|ofBytes || tag == 2<<3|ofBytes) && !utf8.Valid(value) {
			return a, false
		}
	}
	return a, true
}

// texts remember short texts that come again with every record, schemas above all, so that each is one string and
// not one for every record. Any goroutine may use them.
type texts [32]atomic.Pointer[string]

const rememberedText = 128 // bytes of one

// of is the text of these bytes. Without a memory (nil) it is a new one.
func (t *texts) of(b []byte) string {
	if t == nil || len(b) == 0 || len(b) > rememberedText {
		return string(b)
	}
	slot := &t[(uint(len(b))*7+uint(b[0])*3+uint(b[len(b)-1]))%uint(len(t))]
	if known := slot.Load(); known != nil && *known == string(b) {
		return *known
	}
	text := string(b)
	slot.Store(&text)
	return text
}
