package stagewire

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "stagewire.dev/sdk/go/stagewirepb"
)

// The vectors of conformance/vectors that concern a worker; the README there explains their form.

type vector struct {
	Name      string
	Hex       pieces
	JSON      map[string]any
	Canonical bool
	Key       any
	State     string
	Invalid   *struct{ Code, By, Or string }
	Limit     uint32
	Frames    []struct {
		At, Length int
		JSON       map[string]any
	}
	Rest      int
	Exit      int
	Retryable bool
	EOF       bool
	Closes    string
}

func vectors(t *testing.T, file string) (all []vector) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "conformance", "vectors", file+".json"))
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&all); err != nil || len(all) == 0 {
		t.Fatalf("%s: %d vectors, %v", file, len(all), err)
	}
	return all
}

// pieces is `hex` of a vector: a text, or a list of texts and repetitions.
type pieces []byte

func (p *pieces) UnmarshalJSON(source []byte) error {
	var value any
	if err := json.Unmarshal(source, &value); err != nil {
		return err
	}
	list, isList := value.([]any)
	if !isList {
		list = []any{value}
	}
	*p = pieces{}
	for _, piece := range list {
		unit, times := piece, 1
		if repeated, ok := piece.(map[string]any); ok {
			unit, times = repeated["repeat"], int(repeated["times"].(float64))
		}
		decoded, err := hex.DecodeString(unit.(string))
		if err != nil {
			return err
		}
		*p = append(*p, bytes.Repeat(decoded, times)...)
	}
	return nil
}

// repetition takes {"repeat": x, "times": n} apart.
func repetition(value any) (unit any, times int) {
	if object, ok := value.(map[string]any); ok && len(object) == 2 && object["repeat"] != nil && object["times"] != nil {
		n, _ := object["times"].(json.Number).Int64()
		return object["repeat"], int(n)
	}
	return value, 1
}

// text is a text of a vector; as bytes, hexadecimal behind 0x.
func text(value any, isBytes bool) []byte {
	unit, times := repetition(value)
	s := unit.(string)
	if isBytes && strings.HasPrefix(s, "0x") {
		raw, err := hex.DecodeString(s[2:])
		if err != nil {
			panic(err)
		}
		return bytes.Repeat(raw, times)
	}
	return bytes.Repeat([]byte(s), times)
}

// fill makes the message that the JSON of a vector means.
func fill(m protoreflect.Message, values map[string]any) {
	for name, value := range values {
		field := m.Descriptor().Fields().ByName(protoreflect.Name(name))
		switch {
		case field == nil:
			panic("no field " + name)
		case field.IsList():
			list := m.Mutable(field).List()
			for _, item := range value.([]any) {
				unit, times := item, 1
				if field.Message() != nil {
					unit, times = repetition(item)
				}
				for ; times > 0; times-- {
					if field.Message() != nil {
						fill(list.AppendMutable().Message(), unit.(map[string]any))
					} else {
						list.Append(scalar(field, unit))
					}
				}
			}
		case field.Message() != nil:
			fill(m.Mutable(field).Message(), value.(map[string]any))
		default:
			m.Set(field, scalar(field, value))
		}
	}
}

func scalar(field protoreflect.FieldDescriptor, value any) protoreflect.Value {
	switch field.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(string(text(value, false)))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(text(value, true))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(value.(bool))
	case protoreflect.EnumKind:
		if name, ok := value.(string); ok {
			return protoreflect.ValueOfEnum(field.Enum().Values().ByName(protoreflect.Name(name)).Number())
		}
	}
	number := fmt.Sprint(value)
	switch field.Kind() {
	case protoreflect.DoubleKind:
		if number == "NaN" { // the usual one, which is not Go's
			return protoreflect.ValueOfFloat64(math.Float64frombits(0x7ff8 << 48))
		}
		return protoreflect.ValueOfFloat64(parsed[float64](number))
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(parsed[int32](number)))
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(parsed[uint32](number))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(parsed[uint64](number))
	}
	return protoreflect.ValueOfInt64(parsed[int64](number))
}

func parsed[N any](text string) (number N) {
	if _, err := fmt.Sscan(text, &number); err != nil {
		panic(fmt.Sprintf("%q: %v", text, err))
	}
	return number
}

func meaning(values map[string]any) *pb.Envelope {
	e := &pb.Envelope{}
	fill(e.ProtoReflect(), values)
	return e
}

// expectMessage compares known fields.
func expectMessage(t *testing.T, expected, got proto.Message) {
	t.Helper()
	clean, _ := proto.MarshalOptions{Deterministic: true}.Marshal(expected)
	known := proto.Clone(got)
	discardUnknown(known.ProtoReflect())
	found, _ := proto.MarshalOptions{Deterministic: true}.Marshal(known)
	if !bytes.Equal(clean, found) {
		t.Fatalf("expected %v, got %v", expected, got)
	}
}

func discardUnknown(m protoreflect.Message) {
	m.SetUnknown(nil)
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.Message() == nil:
		case field.IsList():
			for i := 0; i < value.List().Len(); i++ {
				discardUnknown(value.List().Get(i).Message())
			}
		default:
			discardUnknown(value.Message())
		}
		return true
	})
}
