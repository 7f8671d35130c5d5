package stagewire

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "stagewire.dev/sdk/go/stagewirepb"
)

// fakeBroker is the other end of the socket, played by a test step by step.
type fakeBroker struct {
	t        testing.TB
	listener net.Listener
	stderr   bytes.Buffer
	exit     chan int
}

// link is one accepted connection. It checks on its own that the worker never overshoots output 0.
type link struct {
	t               testing.TB
	conn            net.Conn
	records, bytes  uint64 // granted on output 0
	usedR, usedB    uint64
	reserve         uint64
	grantR, grantB  uint64 // granted to us on input 0
	next            uint64
	skipped         []*pb.Envelope // frames that `expect` passed over
	settledOutcomes []*pb.Outcome
}

const patience = 20 * time.Second

func newFakeBroker(t testing.TB, w *worker, token string) *fakeBroker {
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	b := &fakeBroker{t: t, listener: listener, exit: make(chan int, 1)}
	t.Cleanup(func() { listener.Close() })
	environment := map[string]string{"STAGEWIRE_SOCKET": path, "STAGEWIRE_STAGE": "double", "STAGEWIRE_INSTANCE": "double-1", "STAGEWIRE_TOKEN": token}
	go func() { b.exit <- w.main(func(name string) string { return environment[name] }, &b.stderr) }()
	return b
}

func welcomeMessage() *pb.Welcome {
	return &pb.Welcome{Version: 1000, Session: 1, MaxFrame: 4 << 20, MaxRecord: 1 << 20, StampReserve: 500,
		MaxStepRecords: 4096, MaxStepBytes: 1 << 20, HeartbeatMs: 10000, IdleMs: 30000, LeaseMs: 30000, Config: []byte("{}"),
		Inputs:   []*pb.Input{{Number: 0, Stage: "up", Port: "out", MaxUnsettledRecords: 4096, MaxUnsettledBytes: 4 << 20, Ordering: pb.Ordering_ORDERING_KEY}},
		Outputs:  []*pb.Output{{Number: 0, Port: "out"}},
		Pipeline: "test", Instance: "double-1"}
}

// accept takes the next connection up to and including its Hello.
func (b *fakeBroker) accept() (*link, *pb.Hello) {
	b.t.Helper()
	_ = b.listener.(*net.UnixListener).SetDeadline(time.Now().Add(patience))
	conn, err := b.listener.Accept()
	if err != nil {
		b.t.Fatalf("no worker dialled: %v", err)
	}
	b.t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	l := &link{t: b.t, conn: conn, next: 1}
	hello := l.read().GetHello()
	if hello == nil {
		b.t.Fatal("the first frame is not Hello")
	}
	return l, hello
}

// welcome accepts a worker, and waits for its first Credit if it has an input.
func (b *fakeBroker) welcome(w *pb.Welcome) *link {
	b.t.Helper()
	l, _ := b.accept()
	l.greet(w)
	return l
}

func (l *link) greet(w *pb.Welcome) {
	l.reserve = w.StampReserve
	l.send(&pb.Envelope{Message: &pb.Envelope_Welcome{Welcome: w}})
	if len(w.Inputs) > 0 {
		l.expect(func(e *pb.Envelope) bool { return e.GetCredit() != nil })
	}
}

func (l *link) send(e *pb.Envelope) {
	l.t.Helper()
	e.Version = 1000
	body, err := proto.Marshal(e)
	if err != nil {
		l.t.Fatal(err)
	}
	if _, err = l.conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)); err != nil {
		l.t.Fatal(err)
	}
}

func (l *link) tryRead() (*pb.Envelope, error) {
	prefix := make([]byte, 4)
	if _, err := io.ReadFull(l.conn, prefix); err != nil {
		return nil, err
	}
	body := make([]byte, binary.BigEndian.Uint32(prefix))
	if _, err := io.ReadFull(l.conn, body); err != nil {
		return nil, err
	}
	e := &pb.Envelope{}
	if err := proto.Unmarshal(body, e); err != nil {
		return nil, err
	}
	l.book(e)
	return e, nil
}

// read returns the next frame, booking credit both ways.
func (l *link) read() *pb.Envelope {
	l.t.Helper()
	e, err := l.tryRead()
	if err != nil {
		l.t.Fatalf("reading from the worker: %v", err)
	}
	return e
}

func (l *link) book(e *pb.Envelope) {
	l.t.Helper()
	if e.Version != 1000 {
		l.t.Fatalf("version %d", e.Version)
	}
	var emissions []*pb.Emission
	switch m := e.Message.(type) {
	case *pb.Envelope_Credit:
		l.grantR, l.grantB = m.Credit.Records, m.Credit.Bytes
	case *pb.Envelope_Settle:
		for _, o := range m.Settle.Outcomes {
			emissions = append(emissions, o.Emissions...)
		}
		l.settledOutcomes = append(l.settledOutcomes, m.Settle.Outcomes...)
	case *pb.Envelope_Emit:
		emissions = m.Emit.Emissions
	}
	for _, emission := range emissions {
		l.usedR++
		l.usedB += uint64(proto.Size(emission.Output)) + l.reserve
	}
	if l.usedR > l.records || l.usedB > l.bytes {
		l.t.Fatalf("the worker overshot: used %d records, %d bytes of %d, %d", l.usedR, l.usedB, l.records, l.bytes)
	}
}

// expect reads until a frame fits; the others are kept in `skipped`.
func (l *link) expect(fits func(*pb.Envelope) bool) *pb.Envelope {
	l.t.Helper()
	for {
		e := l.read()
		if fits(e) {
			return e
		}
		l.skipped = append(l.skipped, e)
	}
}

// outcomes reads until n deliveries have been settled since the link began, and returns their kinds by delivery.
func (l *link) outcomes(n int) map[uint64]*pb.Outcome {
	l.t.Helper()
	for {
		byDelivery := map[uint64]*pb.Outcome{}
		for _, o := range l.settledOutcomes {
			ranges := append([]*pb.Range{{First: o.First, Last: o.Last}}, o.More...)
			for _, r := range ranges {
				last := r.Last
				if last == 0 {
					last = r.First
				}
				for id := r.First; id <= last; id++ {
					if byDelivery[id] != nil {
						l.t.Fatalf("delivery %d settled twice", id)
					}
					byDelivery[id] = o
				}
			}
		}
		if len(byDelivery) >= n {
			return byDelivery
		}
		l.expect(func(e *pb.Envelope) bool { return e.GetSettle() != nil })
	}
}

func (l *link) credit(records, bytes uint64) {
	l.records, l.bytes = records, bytes
	l.send(&pb.Envelope{Message: &pb.Envelope_Credit{Credit: &pb.Credit{Records: records, Bytes: bytes}}})
}

// deliver sends records each of which has a key of its own, so that none voids another.
func (l *link) deliver(payloads ...string) {
	l.t.Helper()
	d := &pb.Deliver{FirstDelivery: l.next}
	for i, payload := range payloads {
		key := byte('!' + (l.next+uint64(i))%90)
		d.Records = append(d.Records, &pb.Record{Header: &pb.Header{Key: []byte{key}}, Payload: []byte(payload)})
	}
	l.next += uint64(len(payloads))
	l.send(&pb.Envelope{Message: &pb.Envelope_Deliver{Deliver: d}})
}

// expectPing expects a Ping to be the next frame.
func (l *link) expectPing() *pb.Ping {
	l.t.Helper()
	e := l.read()
	if e.GetPing() == nil {
		l.t.Fatalf("expected a Ping: %v", e)
	}
	return e.GetPing()
}

// lastPing is the worker's last Ping, behind what has been settled so far.
func (l *link) lastPing() (last *pb.Ping) {
	l.t.Helper()
	l.send(&pb.Envelope{Message: &pb.Envelope_Ping{Ping: &pb.Ping{Nonce: 78}}})
	l.expect(func(e *pb.Envelope) bool { return e.GetPong().GetNonce() == 78 })
	for _, e := range l.skipped {
		if ping := e.GetPing(); ping != nil {
			last = ping
		}
	}
	if last == nil {
		l.t.Fatal("the worker has not pinged")
	}
	return last
}

func (l *link) pong(ping *pb.Ping) {
	l.send(&pb.Envelope{Message: &pb.Envelope_Pong{Pong: &pb.Pong{Nonce: ping.Nonce}}})
}

// barrier returns when the worker has read everything sent before; the next frame is to be its Pong.
func (l *link) barrier() {
	l.t.Helper()
	l.send(&pb.Envelope{Message: &pb.Envelope_Ping{Ping: &pb.Ping{Nonce: 77}}})
	if e := l.read(); e.GetPong().GetNonce() != 77 {
		l.t.Fatalf("expected a Pong: %v", e)
	}
}

func (l *link) close(code Code, message string) {
	l.send(&pb.Envelope{Message: &pb.Envelope_Close{Close: &pb.Close{Code: uint32(code), Message: message}}})
}

func (b *fakeBroker) expectExit(code int) {
	b.t.Helper()
	select {
	case got := <-b.exit:
		if got != code {
			b.t.Fatalf("exit code %d, expected %d; it said: %s", got, code, b.stderr.String())
		}
	case <-time.After(patience):
		b.t.Fatal("the worker did not exit")
	}
}
