package stagewire

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "stagewire.dev/sdk/go/stagewirepb"
)

func TestVectorsOfFramesToAWorker(t *testing.T) {
	for _, v := range vectors(t, "frames-to-worker") {
		t.Run(v.Name, func(t *testing.T) {
			expected := meaning(v.JSON)
			frame, err := readFrame(bufio.NewReader(bytes.NewReader(v.Hex)), 4<<20)
			if err != nil {
				t.Fatal(err)
			}
			deliver, isDeliver, err := splitEnvelope(frame)
			if err != nil || isDeliver != (expected.GetDeliver() != nil) {
				t.Fatalf("is a Deliver: %v, %v", isDeliver, err)
			}
			if isDeliver {
				expectDeliver(t, expected.GetDeliver(), deliver)
				return
			}
			var got pb.Envelope
			if err := proto.Unmarshal(frame, &got); err != nil {
				t.Fatal(err)
			}
			expectMessage(t, expected, &got)
		})
	}
}

// expectDeliver compares what a handler sees with what was delivered.
func expectDeliver(t *testing.T, expected *pb.Deliver, deliver []byte) {
	t.Helper()
	records, input, err := decodeDeliver(deliver, nil)
	if err != nil || input != expected.Input || len(records) != len(expected.Records) {
		t.Fatalf("%d records from input %d: %v", len(records), input, err)
	}
	for i := range records {
		got, record := &records[i], expected.Records[i]
		attempt := uint32(1)
		if len(expected.Attempts) > 0 {
			attempt = expected.Attempts[i]
		}
		if got.delivery != expected.FirstDelivery+uint64(i) || got.attempt != attempt {
			t.Fatalf("record %d: delivery %d, attempt %d", i, got.delivery, got.attempt)
		}
		header := record.GetHeader()
		if got.Schema() != header.GetSchema() || got.SchemaVersion() != header.GetSchemaVersion() || !bytes.Equal(got.Key(), header.GetKey()) ||
			got.eventTime != header.GetEventTime() || got.ContentType() != header.GetContentType() || !bytes.Equal(got.Payload(), record.Payload) {
			t.Fatalf("record %d: %+v", i, got)
		}
		if header.GetEventTime() != 0 && got.EventTime().UnixMicro() != header.GetEventTime() {
			t.Fatalf("record %d: event time %v", i, got.EventTime())
		}
		expectAttributes(t, header.GetAttributes(), got.Attributes())
		expectLineage(t, record.GetLineage(), got)
	}
}

func expectAttributes(t *testing.T, expected []*pb.Attribute, got []Attribute) {
	t.Helper()
	var valued []*pb.Attribute
	for _, a := range expected {
		if a.Value != nil { // one without a value is absent (RE-2)
			valued = append(valued, a)
		}
	}
	if len(got) != len(valued) {
		t.Fatalf("%d attributes of %d", len(got), len(valued))
	}
	for i, a := range valued {
		encoded, _ := proto.Marshal(a)
		var again, named pb.Attribute
		if err := proto.Unmarshal(got[i].appendTo(nil), &again); err != nil || proto.Unmarshal(encoded, &named) != nil {
			t.Fatal(err)
		}
		expectMessage(t, &named, &again)
	}
}

func expectLineage(t *testing.T, expected *pb.Lineage, got *Record) {
	t.Helper()
	// A session that has met no runs.
	w := newWorker(nil, nil, nil)
	got.origin.session = &session{mu: &w.mu, runs: map[uint32]*pb.Run{}}
	l, err := got.Lineage()
	if err != nil || !bytes.Equal(l.ID[:], recordBytes(expected.GetId())) || got.ID() != l.ID || len(l.Parents) != len(expected.GetParents()) ||
		l.ParentsTruncated != expected.GetParentsTruncated() || len(l.Hops) != len(expected.GetHops()) ||
		uint64(l.IngestTime.UnixMicro()) != expected.GetIngestTime() || l.TraceParent != expected.GetTrace().GetTraceparent() ||
		l.TraceState != expected.GetTrace().GetTracestate() {
		t.Fatalf("%v: %+v", err, l)
	}
	root := expected.GetRoot()
	if root == nil {
		root = expected.GetId()
	}
	if !bytes.Equal(l.Root[:], recordBytes(root)) {
		t.Fatalf("root %v", l.Root)
	}
	for i, parent := range expected.GetParents() {
		if !bytes.Equal(l.Parents[i][:], parent) {
			t.Fatalf("parent %d is %v", i, l.Parents[i])
		}
	}
	for i, hop := range expected.GetHops() {
		attempt := int(hop.Attempt)
		if attempt == 0 {
			attempt = 1
		}
		if l.Hops[i].Attempt != attempt || uint64(l.Hops[i].Time.UnixMicro()) != expected.IngestTime+hop.Delta {
			t.Fatalf("hop %d: %+v", i, l.Hops[i])
		}
	}
}

// recordBytes is an id of 16 bytes; zeros where there is none.
func recordBytes(id []byte) []byte {
	if len(id) == 0 {
		return make([]byte, 16)
	}
	return id
}

// What is written with the library: each control message of a worker.
func TestVectorsOfFramesToTheBroker(t *testing.T) {
	met := 0
	for _, v := range vectors(t, "frames-to-broker") {
		e := meaning(v.JSON)
		if !v.Canonical || e.Version != protocolVersion || e.GetSettle() != nil || e.GetEmit() != nil || e.Message == nil {
			continue
		}
		met++
		if got := encodeFrame(e); !bytes.Equal(got, v.Hex) {
			t.Errorf("%s: %x", v.Name, got)
		}
	}
	if met < 15 {
		t.Fatalf("%d vectors", met)
	}
}

// What is written by hand: outcomes of one delivery or range, with their emissions.
func TestVectorsOfSettle(t *testing.T) {
	met := 0
	for _, v := range vectors(t, "frames-to-broker") {
		settle := meaning(v.JSON).GetSettle()
		if settle == nil || !v.Canonical || len(settle.Outcomes) != 1 || saysLastTwice(settle.Outcomes[0]) {
			continue
		}
		outcome := settle.Outcomes[0]
		emissions, ok := emit(outcome.Emissions, 4)
		if !ok {
			continue // what this library has no way to say
		}
		var frame []byte
		s := newSettler(func(b []byte) { frame = append([]byte{}, b...) }, 4<<20)
		spans := []span{spanOf(outcome.First, outcome.Last)}
		for _, more := range outcome.More {
			spans = append(spans, spanOf(more.First, more.Last))
		}
		head := &pb.Outcome{Kind: outcome.Kind, DelayMs: outcome.DelayMs, Error: outcome.Error}
		s.settle(spans, head, emissions)
		s.flush()
		met++
		// Fields may come in another order than the library's: the meaning is compared.
		var got, expected pb.Envelope
		if len(frame) != len(v.Hex) || proto.Unmarshal(frame[4:], &got) != nil || proto.Unmarshal(v.Hex[4:], &expected) != nil ||
			!proto.Equal(&got, &expected) {
			t.Errorf("%s: %x", v.Name, frame)
		}
	}
	if met < 15 {
		t.Fatalf("%d vectors", met)
	}
}

// saysLastTwice: a last that is the first can be left out, and this library does.
func saysLastTwice(o *pb.Outcome) bool {
	for _, more := range o.More {
		if more.First == more.Last {
			return true
		}
	}
	return o.First == o.Last
}

func spanOf(first, last uint64) span {
	if last == 0 {
		last = first
	}
	return span{first, last}
}

// emit encodes emissions as a handler's would be; false: an Output cannot say them.
func emit(emissions []*pb.Emission, field int) ([]byte, bool) {
	welcome := defaultWelcome()
	welcome.Outputs = []*pb.Output{{Port: "0"}, {Number: 1, Port: "1"}, {Number: 2, Port: "2"}, {Number: 3, Port: "3"}}
	e := newEmitter(welcome, protoreflect.FieldNumber(field))
	for _, emission := range emissions {
		if emission.Output == nil || emission.Port > 3 {
			return nil, false
		}
		o := outputOf(emission.Output)
		o.Port = fmt.Sprint(emission.Port)
		o.Trace = Trace{emission.Trace.GetTraceparent(), emission.Trace.GetTracestate()}
		for _, parent := range emission.Parents {
			o.Parents = append(o.Parents, &Record{delivery: parent})
		}
		e.Emit(o)
	}
	return e.body, e.check() == nil
}

func outputOf(r *pb.Record) Output {
	h := r.GetHeader()
	o := Output{Schema: h.GetSchema(), SchemaVersion: h.GetSchemaVersion(), Key: h.GetKey(), ContentType: h.GetContentType(), Payload: r.GetPayload()}
	if h.GetEventTime() != 0 {
		o.EventTime = time.UnixMicro(h.GetEventTime())
	}
	for _, a := range h.GetAttributes() {
		switch value := a.Value.(type) {
		case *pb.Attribute_Text:
			o.Attributes = append(o.Attributes, Text(a.Name, value.Text))
		case *pb.Attribute_Integer:
			o.Attributes = append(o.Attributes, Integer(a.Name, value.Integer))
		case *pb.Attribute_Number:
			o.Attributes = append(o.Attributes, Number(a.Name, value.Number))
		case *pb.Attribute_Flag:
			o.Attributes = append(o.Attributes, Flag(a.Name, value.Flag))
		}
	}
	return o
}

func TestVectorsOfOutputs(t *testing.T) {
	met := 0
	for _, v := range vectors(t, "outputs-valid") {
		record := &pb.Record{}
		fill(record.ProtoReflect(), v.JSON)
		got, err := decodeRecord(v.Hex)
		if err != nil || !bytes.Equal(got.Key(), text(v.Key, true)) || !bytes.Equal(got.Payload(), record.Payload) {
			t.Errorf("%s: %v, key %q", v.Name, err, got.Key())
		}
		expectAttributes(t, record.GetHeader().GetAttributes(), got.Attributes())
		output := outputOf(record)
		if problem := output.problem(); problem != "" {
			t.Errorf("%s: %s", v.Name, problem)
		}
		hasAbsent := v.Name == "full" // an attribute without a value, which an Output does not have
		if header := record.Header; v.Canonical && !hasAbsent && (header == nil || proto.Size(header) > 0) {
			met++
			if encoded := output.appendTo(nil); !bytes.Equal(encoded, v.Hex) {
				t.Errorf("%s: %x", v.Name, encoded)
			}
		}
	}
	if met < 8 {
		t.Fatalf("%d canonical vectors", met)
	}
}

func TestVectorsOfStreams(t *testing.T) {
	for _, v := range vectors(t, "splits") {
		for name, reader := range map[string]io.Reader{"at once": bytes.NewReader(v.Hex), "by bytes": iotest.OneByteReader(bytes.NewReader(v.Hex)),
			"by halves": iotest.HalfReader(bytes.NewReader(v.Hex))} {
			t.Run(v.Name+" "+name, func(t *testing.T) { expectStream(t, v, bufio.NewReaderSize(reader, 16)) })
		}
	}
}

func expectStream(t *testing.T, v vector, r *bufio.Reader) {
	for _, expected := range v.Frames {
		frame, err := readFrame(r, v.Limit)
		if err != nil || len(frame) != expected.Length {
			t.Fatalf("a frame of %d bytes at %d: %v", len(frame), expected.At, err)
		}
		var got pb.Envelope
		if err := proto.Unmarshal(frame, &got); err != nil {
			t.Fatal(err)
		}
		expectMessage(t, meaning(expected.JSON), &got)
	}
	frame, err := readFrame(r, v.Limit)
	if err == nil {
		_, _, err = splitEnvelope(frame)
	}
	var closed *closeError
	isFault := errors.As(err, &closed)
	switch {
	case v.Invalid == nil:
		if isFault || err == nil {
			t.Fatalf("%d bytes left, but: %v", v.Rest, err)
		}
	case v.Invalid.Code == "FRAME_TOO_LARGE":
		if !isFault || closed.code != FrameTooLarge {
			t.Fatal(err)
		}
	case err == nil: // an empty frame: a worker may take it (FR-2)
		t.Fatal("a frame without version passes")
	}
}

// A spawned worker gets it all from a broker, and its process ends as EN-5 says.
func TestVectorsOfExitCodes(t *testing.T) {
	for _, v := range vectors(t, "exit-codes") {
		v := v
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			w := newWorker(func(*Record, *Emitter) error { return nil }, nil, nil)
			b := newFakeBroker(t, w, "aa")
			l := b.welcome(welcomeMessage())
			if _, err := l.conn.Write(v.Hex); err != nil {
				t.Fatal(err)
			}
			_ = l.conn.(*net.UnixConn).CloseWrite()
			if v.Closes != "" {
				closed := l.expect(func(e *pb.Envelope) bool { return e.GetClose() != nil }).GetClose()
				if name := Code(closed.Code).String(); !strings.HasPrefix(name, v.Closes) || closed.Message == "" {
					t.Fatalf("%v", closed)
				}
			}
			_ = l.conn.Close()
			if v.Retryable { // profile reconnect: it comes again, and ends when the broker says so
				l = b.welcome(welcomeMessage())
				l.close(OK, "")
				b.expectExit(0)
				return
			}
			b.expectExit(v.Exit)
			said := b.stderr.String()
			if message := meaning(v.JSON).GetClose().GetMessage(); v.Exit == 2 && message != "" && !strings.ContainsRune(message, '\n') &&
				!strings.Contains(said, message) {
				t.Fatalf("the sentence is not on standard error: %q", said)
			}
			if strings.ContainsRune(said, '\x1b') || strings.Count(said, "\n") > 1 {
				t.Fatalf("control characters are not escaped: %q", said)
			}
		})
	}
}

// What a broker must not send: refused with its code, or, where the vector says so, taken somehow.
func TestVectorsOfInvalidFramesToAWorker(t *testing.T) {
	met := 0
	for _, v := range vectors(t, "frames-invalid") {
		if v.Invalid.By != "worker" {
			continue
		}
		met++
		v := v
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			w := newWorker(func(*Record, *Emitter) error { return nil }, nil, nil)
			b := newFakeBroker(t, w, "aa")
			l, _ := b.accept()
			if v.State != "greeting" {
				l.greet(welcomeMessage())
			}
			if _, err := l.conn.Write(v.Hex); err != nil {
				t.Fatal(err)
			}
			if v.Invalid.Or != "" {
				// Whether it took the frame or refused it, it lives to hear the end.
				l.close(OK, "")
				_ = l.conn.(*net.UnixConn).CloseWrite()
				if code := <-b.exit; code != 0 && code != 2 {
					t.Fatalf("exit code %d: %s", code, b.stderr.String())
				}
				return
			}
			closed := l.expect(func(e *pb.Envelope) bool { return e.GetClose() != nil }).GetClose()
			if !strings.HasPrefix(Code(closed.Code).String(), v.Invalid.Code) {
				t.Fatalf("%v", closed)
			}
			_ = l.conn.Close()
			b.expectExit(2)
		})
	}
	if met < 10 {
		t.Fatalf("%d vectors", met)
	}
}
