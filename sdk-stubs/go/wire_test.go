package stagewire

import (
	"bufio"
	"bytes"
	"io"
	"math"
	"math/rand"
	"testing"
	"testing/iotest"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "stagewire.dev/sdk/go/stagewirepb"
)

func newRandom(seed int64) *rand.Rand { return rand.New(rand.NewSource(seed)) }

func randomBytes(r *rand.Rand, limit int) []byte {
	b := make([]byte, r.Intn(limit))
	r.Read(b)
	return b
}

func randomText(r *rand.Rand) string {
	return []string{"", "a", "sensor.raw", "grün", string(bytes.Repeat([]byte("x"), 130))}[r.Intn(5)]
}

// What we write by hand is what the protobuf library writes, byte for byte.
func TestOutputsAreEncodedAsTheLibraryDoes(t *testing.T) {
	const seed = 42
	r := rand.New(rand.NewSource(seed))
	for n := 0; n < 2000; n++ {
		header := &pb.Header{Schema: randomText(r), SchemaVersion: uint32(r.Intn(3)) * 200, Key: randomBytes(r, 4), ContentType: randomText(r)}
		o := Output{Schema: header.Schema, SchemaVersion: header.SchemaVersion, Key: header.Key, ContentType: header.ContentType, Payload: randomBytes(r, 300)}
		if r.Intn(2) == 0 {
			header.EventTime = r.Int63n(1 << 52)
			o.EventTime = time.UnixMicro(header.EventTime)
		}
		for i := r.Intn(4); i > 0; i-- {
			name, whole, fraction, flag := randomText(r), r.Int63()-r.Int63(), r.NormFloat64(), r.Intn(2) == 0
			a := &pb.Attribute{Name: name}
			switch r.Intn(4) {
			case 0:
				a.Value, o.Attributes = &pb.Attribute_Text{Text: name}, append(o.Attributes, Text(name, name))
			case 1:
				a.Value, o.Attributes = &pb.Attribute_Integer{Integer: whole}, append(o.Attributes, Integer(name, whole))
			case 2:
				a.Value, o.Attributes = &pb.Attribute_Number{Number: fraction}, append(o.Attributes, Number(name, fraction))
			default:
				a.Value, o.Attributes = &pb.Attribute_Flag{Flag: flag}, append(o.Attributes, Flag(name, flag))
			}
			header.Attributes = append(header.Attributes, a)
		}
		message := &pb.Record{Payload: o.Payload}
		if proto.Size(header) > 0 {
			message.Header = header
		}
		expected, err := proto.Marshal(message)
		if err != nil {
			t.Fatal(err)
		}
		if got := o.appendTo(nil); !bytes.Equal(got, expected) {
			t.Fatalf("seed %d, round %d: %x, expected %x", seed, n, got, expected)
		}
		back := NewRecord(o).Output()
		if again := back.appendTo(nil); !bytes.Equal(again, expected) {
			t.Fatalf("seed %d, round %d: a record does not survive Output(): %x, expected %x", seed, n, again, expected)
		}
	}
}

// Whatever bytes come, decoding ends with an error or records, never a panic.
func TestHostileBytesAreErrors(t *testing.T) {
	const seed = 7
	r := rand.New(rand.NewSource(seed))
	sound, err := proto.Marshal(&pb.Envelope{Version: 1000, Message: &pb.Envelope_Deliver{Deliver: &pb.Deliver{
		Input: 1, FirstDelivery: 9, Attempts: []uint32{1, 300}, Records: []*pb.Record{
			{Lineage: &pb.Lineage{Id: make([]byte, 16)}, Header: &pb.Header{Key: []byte("k"), SchemaVersion: 3, EventTime: 5}, Payload: []byte("p")}, {}}}}})
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < 20000; n++ {
		b := append([]byte{}, sound...)
		for i := r.Intn(4); i >= 0; i-- {
			b[r.Intn(len(b))] = byte(r.Intn(256))
		}
		b = b[:len(b)-r.Intn(3)]
		if deliver, is, err := splitEnvelope(b); err == nil && is {
			records, _, _ := decodeDeliver(deliver, nil)
			for i := range records {
				records[i].Attributes()
				records[i].ID()
				_, _ = records[i].Lineage()
			}
		}
	}
	deliver, _, _ := splitEnvelope(sound)
	records, input, err := decodeDeliver(deliver, nil)
	if err != nil || input != 1 || len(records) != 2 || records[1].delivery != 10 || records[1].Attempt() != 300 || string(records[0].Key()) != "k" {
		t.Fatalf("%v %v", records, err)
	}
}

func TestOneOutcomeOverManyDeliveries(t *testing.T) {
	var frames [][]byte
	s := newSettler(func(frame []byte) { frames = append(frames, append([]byte{}, frame...)) }, 4<<20)
	e, _ := Recorder()
	e.Emit(Output{Payload: []byte("mean")})
	s.settle([]span{{3, 5}, {9, 9}, {11, 12}}, &pb.Outcome{Kind: pb.OutcomeKind_OUTCOME_KIND_ACCEPTED}, e.body)
	s.accept(6)
	s.accept(7)
	s.accept(10)
	s.flush()
	var envelope pb.Envelope
	if len(frames) != 1 || proto.Unmarshal(frames[0][4:], &envelope) != nil {
		t.Fatalf("%d frames", len(frames))
	}
	expected := &pb.Settle{Outcomes: []*pb.Outcome{
		{First: 3, Last: 5, Kind: 1, More: []*pb.Range{{First: 9}, {First: 11, Last: 12}}, Emissions: []*pb.Emission{{Output: &pb.Record{Payload: []byte("mean")}}}},
		{First: 6, Last: 7, Kind: 1, More: []*pb.Range{{First: 10}}}}}
	if !proto.Equal(envelope.GetSettle(), expected) || s.settledCount() != 9 {
		t.Fatalf("%v, settled %d", envelope.GetSettle(), s.settledCount())
	}
}

func TestSettleFramesStayUnderTheLimit(t *testing.T) {
	const limit = 10_000
	var deliveries int
	s := newSettler(func(frame []byte) {
		var envelope pb.Envelope
		if len(frame) > limit+framePrefix || proto.Unmarshal(frame[4:], &envelope) != nil {
			t.Errorf("a frame of %d bytes", len(frame))
		}
		deliveries += len(envelope.GetSettle().GetOutcomes())
	}, limit)
	for id := uint64(1); id <= 100; id++ {
		e, _ := Recorder()
		e.Emit(Output{Payload: make([]byte, 50*id)})
		s.settleOne(id, e.body)
	}
	s.flush()
	if deliveries != 100 {
		t.Fatal(deliveries)
	}
}

func TestLineageIsResolved(t *testing.T) {
	lineage := &pb.Lineage{Id: bytes.Repeat([]byte{0xab}, 16), Parents: [][]byte{bytes.Repeat([]byte{1}, 16)}, IngestTime: 1_000_000,
		Trace: &pb.TraceContext{Traceparent: "00-a-b-01"}, Hops: []*pb.Hop{{Run: 1}, {Run: 2, Delta: 5, Attempt: 3}}}
	encoded, err := proto.Marshal(&pb.Record{Lineage: lineage})
	if err != nil {
		t.Fatal(err)
	}
	record, err := decodeRecord(encoded)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorker(nil, nil, nil)
	record.origin.session = &session{mu: &w.mu, runs: map[uint32]*pb.Run{1: {Number: 1, Stage: "ingest", Version: "1", Instance: "ingest-1", Language: "rust"}}}
	l, err := record.Lineage()
	if err != nil || record.ID().String() != "abababababababababababababababab" || l.ID != record.ID() || l.Root != l.ID || len(l.Parents) != 1 ||
		l.Hops[0].Stage != "ingest" || l.Hops[0].Attempt != 1 || l.Hops[1].Attempt != 3 || l.Hops[1].Time.UnixMicro() != 1_000_005 || l.TraceParent != "00-a-b-01" {
		t.Fatalf("%+v %v", l, err)
	}
}

func TestTextsAreCutBetweenCharacters(t *testing.T) {
	text := cutText(string(bytes.Repeat([]byte("é"), maxText)) + "x")
	if len(text) != maxText || text[len(text)-2:] != "é" {
		t.Fatal(len(text))
	}
	if odd := cutText("x" + string(bytes.Repeat([]byte("é"), maxText))); len(odd) != maxText-1 {
		t.Fatal(len(odd))
	}
	if cutText("a\xffb") != "a?b" {
		t.Fatal(cutText("a\xffb"))
	}
}

// Ids are 64 bits: the last one is as good as any, and none follows it.
func TestTheLastDeliveryID(t *testing.T) {
	deliver := func(first uint64, records int) error {
		b := protowire.AppendVarint(protowire.AppendTag(nil, 2, protowire.VarintType), first)
		for n := 0; n < records; n++ {
			b = protowire.AppendBytes(protowire.AppendTag(b, 4, protowire.BytesType), nil)
		}
		got, _, err := decodeDeliver(b, nil)
		if err == nil && got[records-1].delivery != first+uint64(records)-1 {
			t.Fatalf("delivery %d", got[records-1].delivery)
		}
		return err
	}
	if err := deliver(math.MaxUint64, 1); err != nil {
		t.Fatal(err)
	}
	if err := deliver(math.MaxUint64-1, 2); err != nil {
		t.Fatal(err)
	}
	for first, records := range map[uint64]int{0: 1, math.MaxUint64: 2, math.MaxUint64 - 1: 3} {
		if localClose(deliver(first, records)) == nil {
			t.Fatalf("%d deliveries from %d", records, first)
		}
	}
}

// A field's length is known when it ends, and may take more bytes than were left for it, or fewer.
func TestFieldsAreWrittenWhateverSizeWasExpected(t *testing.T) {
	for _, length := range []int{0, 1, 127, 128, 16383, 16384, 3 << 20} {
		for _, expected := range []int{0, 127, 128, 16384, 3 << 20} {
			value := bytes.Repeat([]byte{7}, length)
			b, f := beginField([]byte("before"), expected)
			if b = append(b, value...); f.length(b) != length {
				t.Fatalf("%d bytes of %d", f.length(b), length)
			}
			if got := f.end(b, 3); !bytes.Equal(got, protowire.AppendBytes([]byte("before\x1a"), value)) {
				t.Fatalf("%d bytes where %d were expected: %d", length, expected, len(got))
			}
			if got := f.undo(b); string(got) != "before" {
				t.Fatalf("%q", got)
			}
		}
	}
}

// Frames that fit the buffer and such that do not; and where the connection ends counts for what is said about it.
func TestFramesAreReadWhole(t *testing.T) {
	for _, length := range []int{0, 1, 11, 12, 13, 1000} {
		frame := append([]byte{0, 0, byte(length >> 8), byte(length)}, randomBytesOf(length)...)
		for _, cut := range []int{0, 1, 4, 5, len(frame) - 1, len(frame)} {
			if cut < 0 || cut > len(frame) {
				continue
			}
			r := bufio.NewReaderSize(io.MultiReader(bytes.NewReader(frame), iotest.OneByteReader(bytes.NewReader(frame[:cut]))), 16)
			first, err := readFrame(r, 1000)
			if err != nil || !bytes.Equal(first, frame[4:]) {
				t.Fatalf("%d bytes: %v", length, err)
			}
			second, err := readFrame(r, 1000)
			expected := io.ErrUnexpectedEOF
			switch cut {
			case len(frame):
				expected = nil
			case 0, 4:
				expected = io.EOF
			}
			if err != expected || err == nil && !bytes.Equal(second, frame[4:]) || !bytes.Equal(first, frame[4:]) {
				t.Fatalf("%d of %d bytes: %v", cut, len(frame), err)
			}
		}
	}
}

func randomBytesOf(length int) []byte {
	b := make([]byte, length)
	newRandom(int64(length)).Read(b)
	return b
}
