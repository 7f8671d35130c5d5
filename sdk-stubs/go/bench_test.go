package stagewire

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "stagewire.dev/sdk/go/stagewirepb"
)

// BenchmarkTransform measures one worker that copies a record of 100 bytes, as it looks to a broker
// that grants plenty and decodes nothing but counts. Both ends share the machine.
func BenchmarkTransform(b *testing.B) {
	broker := newFakeBroker(b, newWorker(func(r *Record, out *Emitter) error {
		out.Emit(Output{Key: r.Key(), Schema: "bench.row", SchemaVersion: 1, Payload: r.Payload()})
		return nil
	}, nil, nil), "")
	l := broker.welcome(welcomeMessage())
	l.credit(1<<60, 1<<60)
	const batch = 500
	deliver := &pb.Deliver{FirstDelivery: 1 << 40} // ids of constant length, patched below
	for i := 0; i < batch; i++ {
		deliver.Records = append(deliver.Records, &pb.Record{
			Lineage: &pb.Lineage{Id: make([]byte, 16), Root: make([]byte, 16), IngestTime: 1, Hops: []*pb.Hop{{Run: 1, Delta: 1000}}},
			Header:  &pb.Header{Key: []byte("sensor-1"), Schema: "bench.row", SchemaVersion: 1}, Payload: make([]byte, 100)})
	}
	frames := b.N/batch + 1
	size := uint64(proto.Size(deliver.Records[0]))
	b.SetBytes(int64(size))
	creditUpdates := make(chan *pb.Credit, 1024) // of this run: an earlier one's would overshoot
	granted := &pb.Credit{Records: l.grantR, Bytes: l.grantB}
	b.ResetTimer()
	go func() {
		reader := &creditReader{updates: creditUpdates, last: granted}
		for i := 0; i < frames; i++ {
			deliver.FirstDelivery = 1<<40 + uint64(i)*batch
			reader.wait(uint64(i+1)*batch, uint64(i+1)*batch*size)
			l.send(&pb.Envelope{Message: &pb.Envelope_Deliver{Deliver: deliver}})
		}
	}()
	prefix := make([]byte, 4)
	for settled := 0; settled < frames*batch; {
		if _, err := io.ReadFull(l.conn, prefix); err != nil {
			b.Fatal(err)
		}
		frame := make([]byte, binary.BigEndian.Uint32(prefix))
		if _, err := io.ReadFull(l.conn, frame); err != nil {
			b.Fatal(err)
		}
		if frame[3] == envelopeSettle<<3|2 {
			settled += bytes.Count(frame, []byte("bench.row"))
			continue
		}
		var e pb.Envelope
		if err := proto.Unmarshal(frame, &e); err == nil && e.GetCredit() != nil {
			creditUpdates <- e.GetCredit()
		}
	}
	b.StopTimer()
	l.close(OK, "")
	broker.expectExit(0)
}

// creditReader keeps the benchmark's broker within the worker's grants.
type creditReader struct {
	updates <-chan *pb.Credit
	last    *pb.Credit
}

func (c *creditReader) wait(records, bytes uint64) {
	for c.last.Records < records || c.last.Bytes < bytes {
		c.last = <-c.updates
	}
}

// deliverBytes is a Deliver of `count` records such as the benchmark of the pipeline has them.
func deliverBytes(t testing.TB, count int) []byte {
	deliver := &pb.Deliver{FirstDelivery: 1 << 40}
	for i := 0; i < count; i++ {
		deliver.Records = append(deliver.Records, &pb.Record{
			Lineage: &pb.Lineage{Id: make([]byte, 16), Root: make([]byte, 16), IngestTime: 1, Hops: []*pb.Hop{{Run: 1, Delta: 1000}}},
			Header:  &pb.Header{Key: []byte("sensor-1"), Schema: "bench.row", SchemaVersion: 1, EventTime: 1 << 50}, Payload: make([]byte, 100)})
	}
	return mustMarshal(t, deliver)
}

// BenchmarkDecode measures a record of a Deliver until its handler gets it.
func BenchmarkDecode(b *testing.B) {
	const batch = 400
	encoded := deliverBytes(b, batch)
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += batch {
		if _, _, err := decodeDeliver(encoded, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkForward measures a handler that sends a record on, and its outcome.
func BenchmarkForward(b *testing.B) {
	forward := forwarding(b)
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n++ {
		forward()
	}
}

// What is allocated for every record costs more than all the rest.
func TestARecordIsSentOnWithoutAllocating(t *testing.T) {
	if n := testing.AllocsPerRun(5000, forwarding(t)); n != 0 {
		t.Fatalf("%v allocations a record", n)
	}
}

// forwarding sends one record on each time that it is called, to a broker that takes everything.
func forwarding(t testing.TB) (forward func()) {
	w := newWorker(func(r *Record, out *Emitter) error {
		out.Emit(r.Output())
		return nil
	}, nil, nil)
	welcome := welcomeMessage()
	s := &session{mu: &w.mu, cond: w.cond, welcome: welcome, settler: newSettler(func([]byte) {}, 4<<20), outputs: make([]outputCredit, 1)}
	s.callers = append(s.callers, &s.main)
	s.outputs[0].raise(1<<62, 1<<62)
	records, _, err := decodeDeliver(deliverBytes(t, 1), s)
	if err != nil {
		t.Fatal(err)
	}
	emitter := newEmitter(welcome, 4)
	return func() { w.handle(s, &records[0], emitter) }
}
