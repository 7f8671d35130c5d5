package stagewire

import (
	"bytes"
	"math/rand"
	"reflect"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "stagewire.dev/sdk/go/stagewirepb"
)

// What we read by hand is what the protobuf library reads: the same refusals, the same records.
func TestDeliversAreDecodedAsTheLibraryDoes(t *testing.T) {
	const seed = 11
	r := rand.New(rand.NewSource(seed))
	sound, refused := 0, 0
	for n := 0; n < 20000; n++ {
		encoded := randomDeliver(t, r)
		if n%2 == 1 {
			encoded = damaged(r, encoded)
		}
		// What is in a lineage or an attribute that nobody asks for is not looked at: the library is shown the rest.
		expected := &pb.Deliver{}
		isSound := proto.Unmarshal(encoded, expected) == nil
		records, input, err := decodeDeliver(encoded, nil)
		if err != nil {
			refused++
			isFitting := expected.FirstDelivery > 0 && (len(expected.Attempts) == 0 || len(expected.Attempts) == len(expected.Records))
			if localClose(err) == nil || isSound && isFitting && expected.FirstDelivery < 1<<63 {
				t.Fatalf("seed %d, round %d: %v refused: %v\n%x", seed, n, expected, err, encoded)
			}
			continue
		}
		if !isSound {
			continue
		}
		sound++
		if input != expected.Input || len(records) != len(expected.Records) {
			t.Fatalf("seed %d, round %d: input %d, %d records of %v", seed, n, input, len(records), expected)
		}
		for i, record := range expected.Records {
			expectRecord(t, &records[i], record)
			if records[i].delivery != expected.FirstDelivery+uint64(i) || len(expected.Attempts) > 0 && records[i].attempt != expected.Attempts[i] {
				t.Fatalf("seed %d, round %d: delivery %d, attempt %d", seed, n, records[i].delivery, records[i].attempt)
			}
		}
	}
	if sound < 8000 || refused < 1000 {
		t.Fatalf("%d sound, %d refused", sound, refused)
	}
}

func expectRecord(t *testing.T, got *Record, expected *pb.Record) {
	t.Helper()
	h := expected.GetHeader()
	if !bytes.Equal(got.Payload(), expected.Payload) || !bytes.Equal(got.Key(), h.GetKey()) || got.Schema() != h.GetSchema() ||
		got.ContentType() != h.GetContentType() || got.schemaVersion != h.GetSchemaVersion() || got.eventTime != h.GetEventTime() ||
		got.ID() != recordID(expected.GetLineage().GetId()) {
		t.Fatalf("%v, expected %v", got.Output(), expected)
	}
	expectAttributes(t, h.GetAttributes(), got.Attributes())
	// The whole, once more, as it goes on; what we do not know of it does not.
	again, known := &pb.Record{}, proto.Clone(&pb.Record{Header: h, Payload: expected.Payload}).(*pb.Record)
	output := got.Output()
	if err := proto.Unmarshal(output.appendTo(nil), again); err != nil || len(h.GetAttributes()) != len(output.Attributes) {
		return // attributes without a value are not passed on
	}
	_ = proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(mustMarshal(t, known), known)
	if known.Header != nil && proto.Size(known.Header) == 0 {
		known.Header = nil
	}
	if !proto.Equal(again, known) {
		t.Fatalf("%v, expected %v", again, known)
	}
}

func mustMarshal(t testing.TB, message proto.Message) []byte {
	t.Helper()
	encoded, err := proto.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

func randomDeliver(t *testing.T, r *rand.Rand) []byte {
	deliver := &pb.Deliver{Input: uint32(r.Intn(300)), FirstDelivery: 1 + uint64(r.Int63())>>r.Intn(62)}
	for i := r.Intn(4); i > 0; i-- {
		record := &pb.Record{Payload: randomBytes(r, 300)}
		if r.Intn(4) > 0 {
			record.Lineage = &pb.Lineage{Id: append(randomBytes(r, 1), make([]byte, 16)...), IngestTime: r.Uint64(), Hops: []*pb.Hop{{Run: 1}}}
		}
		if r.Intn(4) > 0 {
			record.Header = &pb.Header{Schema: randomText(r), SchemaVersion: r.Uint32() >> r.Intn(32), Key: randomBytes(r, 200), ContentType: randomText(r)}
			record.Header.EventTime = r.Int63() - r.Int63()
			for i := r.Intn(4); i > 0; i-- {
				record.Header.Attributes = append(record.Header.Attributes, randomAttribute(r))
			}
		}
		deliver.Records = append(deliver.Records, record)
		deliver.Attempts = append(deliver.Attempts, r.Uint32()>>r.Intn(32))
	}
	if r.Intn(2) == 0 {
		deliver.Attempts = nil
	}
	encoded := mustMarshal(t, deliver)
	// A field of a later version, of any kind, in front or behind.
	unknown := protowire.AppendVarint(protowire.AppendTag(nil, 300, protowire.VarintType), r.Uint64())
	unknown = protowire.AppendTag(protowire.AppendTag(unknown, 17, protowire.StartGroupType), 17, protowire.EndGroupType)
	unknown = protowire.AppendFixed32(protowire.AppendTag(unknown, 3, protowire.Fixed32Type), 1)
	if r.Intn(2) == 0 {
		return append(unknown, encoded...)
	}
	return append(encoded, unknown...)
}

func randomAttribute(r *rand.Rand) *pb.Attribute {
	a := &pb.Attribute{Name: randomText(r)}
	switch r.Intn(5) {
	case 0:
		a.Value = &pb.Attribute_Text{Text: randomText(r)}
	case 1:
		a.Value = &pb.Attribute_Integer{Integer: r.Int63() - r.Int63()}
	case 2:
		a.Value = &pb.Attribute_Number{Number: r.NormFloat64()}
	case 3:
		a.Value = &pb.Attribute_Flag{Flag: r.Intn(2) == 0}
	}
	return a
}

// damaged has some bytes changed, or lost.
func damaged(r *rand.Rand, b []byte) []byte {
	b = append([]byte{}, b...)
	for i := r.Intn(3); i >= 0 && len(b) > 0; i-- {
		b[r.Intn(len(b))] = byte(r.Intn(256))
	}
	return b[:len(b)-r.Intn(len(b)+1)/8]
}

// A text that is not UTF-8, or an attribute that cannot be decoded, leaves a record without attributes, not a worker
// without its session: that is only found when they are asked for.
func TestAttributesThatCannotBeDecodedAreNone(t *testing.T) {
	sound := mustMarshal(t, &pb.Header{Schema: "s", Attributes: []*pb.Attribute{{Name: "a", Value: &pb.Attribute_Flag{Flag: true}}}})
	for name, one := range map[string]string{"sound": "", "schema": "\x0a\x01\xff", "content type": "\x2a\x01\xff", "name": "\x32\x03\x0a\x01\xff",
		"text": "\x32\x03\x12\x01\xff", "length": "\x32\x02\x0a\x05", "tag": "\x32\x01\x00", "varint": "\x32\x02\x18\x80", "double": "\x32\x02\x21\x00"} {
		header := append(append([]byte{}, sound...), one...)
		record, err := decodeRecord(protowire.AppendBytes([]byte{2<<3 | 2}, header))
		if isSound := proto.Unmarshal(header, &pb.Header{}) == nil; err != nil || isSound != (one == "") || (len(record.Attributes()) == 1) != isSound {
			t.Fatalf("%s: %v %v", name, err, record.Attributes())
		}
	}
}

// A handler may keep what it got, and append to it.
func TestPartsDoNotWriteIntoEachOther(t *testing.T) {
	record := NewRecord(Output{Schema: "schema", Key: []byte("key"), ContentType: "text/plain", Payload: []byte("payload")})
	before := append([]byte{}, record.encoded()...)
	_, _ = append(record.Key(), "and more"...), append(record.Payload(), "and more"...)
	if !bytes.Equal(record.encoded(), before) || cap(record.Payload()) != len("payload") {
		t.Fatalf("%q", record.encoded())
	}
	copied := record.clone()
	for i := range record.encoded() {
		record.encoded()[i] = 0
	}
	if string(copied.Payload()) != "payload" || copied.Schema() != "schema" || string(copied.Key()) != "key" {
		t.Fatalf("%v", copied.Output())
	}
}

// Two texts that share a place push each other out, and are right all the same.
func TestTextsAreRemembered(t *testing.T) {
	var known texts
	for n := 0; n < 3; n++ {
		for _, text := range []string{"", "sensor.raw", "sensor-raw", "s", "x", string(make([]byte, 1000))} {
			if got := known.of([]byte(text)); got != text {
				t.Fatalf("%q: %q", text, got)
			}
		}
	}
	b := []byte("sensor.raw")
	if n := testing.AllocsPerRun(100, func() { known.of(b) }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
	if !reflect.DeepEqual((*texts)(nil).of(b), "sensor.raw") {
		t.Fatal("without a memory")
	}
}
