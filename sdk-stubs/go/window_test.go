package stagewire

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	pb "stagewire.dev/sdk/go/stagewirepb"
)

// joining emits the payloads of a window as one record, "!" in front when it is incomplete.
func joining(window *Window, out *Emitter) error {
	text := ""
	if !window.Complete {
		text = "!"
	}
	for i, record := range window.Records {
		switch string(record.Payload()) {
		case "reject":
			window.Reject(record, 1007, "not this one")
			continue
		case "fail":
			return errors.New("oops")
		case "retry":
			if record.Attempt() == 1 {
				return Retry(time.Second, "later")
			}
		case "release":
			return Release()
		}
		if i > 0 && text != "" {
			text += "+"
		}
		text += string(record.Payload())
	}
	out.Emit(Output{Key: window.Key, EventTime: window.Start, Payload: []byte(text)})
	return nil
}

func windowWorker(bounds Bounds, handler func(*Window, *Emitter) error, with ...Option) *worker {
	w := newWorker(nil, nil, with)
	w.bounds, w.window = bounds, handler
	return w
}

// at is a record with an event time in seconds.
type at struct {
	seconds int64
	payload string
	key     string
	id      byte
	attempt uint32
}

func (l *link) deliverAt(records ...at) {
	l.t.Helper()
	d := &pb.Deliver{FirstDelivery: l.next}
	for _, r := range records {
		record := &pb.Record{Header: &pb.Header{Key: []byte(r.key), EventTime: r.seconds * 1_000_000}, Payload: []byte(r.payload)}
		if r.id != 0 {
			record.Lineage = &pb.Lineage{Id: append(make([]byte, 15), r.id)}
		}
		d.Records = append(d.Records, record)
		d.Attempts = append(d.Attempts, maxOf(r.attempt, 1))
	}
	l.next += uint64(len(records))
	l.send(&pb.Envelope{Message: &pb.Envelope_Deliver{Deliver: d}})
}

func maxOf(a, b uint32) uint32 {
	if a > b {
		return a
	}
	return b
}

func (l *link) drain(reason pb.DrainReason) {
	l.send(&pb.Envelope{Message: &pb.Envelope_Drain{Drain: &pb.Drain{Reason: reason}}})
}

func payloads(o *pb.Outcome) (texts []string) {
	for _, emission := range o.Emissions {
		texts = append(texts, string(emission.Output.GetPayload()))
	}
	return texts
}

func (l *link) expectWindow(delivery uint64, text string) *pb.Outcome {
	l.t.Helper()
	for {
		for _, o := range l.settledOutcomes {
			for _, r := range append([]*pb.Range{{First: o.First, Last: o.Last}}, o.More...) {
				if delivery == r.First || delivery > r.First && delivery <= r.Last {
					if got := strings.Join(payloads(o), ","); got != text {
						l.t.Fatalf("delivery %d is part of %q, expected %q: %v", delivery, got, text, o)
					}
					return o
				}
			}
		}
		l.expect(func(e *pb.Envelope) bool { return e.GetSettle() != nil })
	}
}

func startWindows(t *testing.T, bounds Bounds, change func(*pb.Welcome)) (*fakeBroker, *link) {
	b := newFakeBroker(t, windowWorker(bounds, joining), "")
	l, hello := b.accept()
	if hello.Offered[0] != "holds" {
		t.Fatalf("%v", hello)
	}
	welcome := welcomeMessage()
	welcome.Features = hello.Offered
	if change != nil {
		change(welcome)
	}
	l.greet(welcome)
	l.credit(1000, 1<<20)
	return b, l
}

func (b *fakeBroker) end(l *link) {
	b.t.Helper()
	l.close(OK, "")
	b.expectExit(0)
}

func TestWindowsByRecordsAndBytes(t *testing.T) {
	b, l := startWindows(t, Bounds{Records: 3, Bytes: 10}, nil)
	l.deliver("a", "b")
	l.deliver("c", "12345", "123456", "0123456789x", "z")
	if o := l.expectWindow(1, "a+b+c"); o.First != 1 || o.Last != 3 || len(o.Emissions[0].Parents) != 0 {
		t.Fatalf("%v", o)
	}
	l.expectWindow(4, "12345") // 5 and 6 would be more than 10
	l.expectWindow(5, "123456")
	l.expectWindow(6, "0123456789x") // alone it may be larger
	l.drain(pb.DrainReason_DRAIN_REASON_INPUT_ENDED)
	l.expectWindow(7, "z")
	l.deliver("again") // a redelivery after the drain does not wait
	l.expectWindow(8, "again")
	b.end(l)
}

func TestWindowsByDurationAndKey(t *testing.T) {
	b, l := startWindows(t, Bounds{Duration: 20 * time.Millisecond, ByKey: true}, nil)
	l.deliverAt(at{payload: "a", key: "x"}, at{payload: "b", key: "y"}, at{payload: "c", key: "x"})
	o := l.expectWindow(1, "a+c")
	if o.First != 1 || o.More[0].First != 3 || string(o.Emissions[0].Output.Header.Key) != "x" {
		t.Fatalf("%v", o)
	}
	l.expectWindow(2, "b")
	b.end(l)
}

func TestWindowsByEventTime(t *testing.T) {
	b, l := startWindows(t, Bounds{EventTime: 10 * time.Second, Lateness: 2 * time.Second}, nil)
	l.deliverAt(at{seconds: 100, payload: "a"}, at{seconds: 111, payload: "b"}, at{seconds: 109, payload: "c"}, at{seconds: -1, payload: "z"})
	l.deliverAt(at{seconds: 112, payload: "d"}, at{seconds: 109, payload: "e"}, at{payload: "f"})
	o := l.expectWindow(1, "a+c")
	if o.Emissions[0].Output.Header.EventTime != 100_000_000 {
		t.Fatalf("%v", o)
	}
	for delivery, text := range map[uint64]string{4: "late: its window ended at 1970-01-01T00:00:00.000000Z",
		6: "late: its window ended at 1970-01-01T00:01:50.000000Z", 7: "without event time"} {
		if o := l.outcomes(5)[delivery]; o.Kind != pb.OutcomeKind_OUTCOME_KIND_REJECTED || !strings.Contains(o.Error.Message, text) || o.Error.Code != 1000 {
			t.Fatalf("%v", o)
		}
	}
	l.drain(pb.DrainReason_DRAIN_REASON_INPUT_ENDED)
	l.expectWindow(2, "b+d")
	b.end(l)
}

func TestAQuietStreamEndsItsWindowsAndLateRecordsMayBeDropped(t *testing.T) {
	b, l := startWindows(t, Bounds{EventTime: 10 * time.Second, Idle: 20 * time.Millisecond, Late: AcceptLate}, nil)
	l.deliverAt(at{seconds: 100, payload: "a"}, at{seconds: 105, payload: "b"})
	l.expectWindow(1, "a+b")
	l.deliverAt(at{seconds: 109, payload: "c"})
	if o := l.outcomes(3)[3]; o.Kind != pb.OutcomeKind_OUTCOME_KIND_ACCEPTED || len(o.Emissions) != 0 {
		t.Fatalf("%v", o)
	}
	b.end(l)
}

func TestAWindowEndsEarlyWhenTheBrokerMayGiveNoMore(t *testing.T) {
	b, l := startWindows(t, Bounds{EventTime: 10 * time.Second, ByKey: true}, func(w *pb.Welcome) { w.Inputs[0].MaxUnsettledRecords = 4 })
	l.deliverAt(at{seconds: 100, payload: "a", key: "x"}, at{seconds: 100, payload: "b", key: "y"}, at{seconds: 101, payload: "c", key: "x"}, at{seconds: 101, payload: "d", key: "y"})
	l.expectWindow(1, "!a+c")
	l.deliverAt(at{seconds: 102, payload: "e", key: "x"}, at{seconds: 110, payload: "f", key: "x"})
	l.expectWindow(2, "b+d") // whole, and the watermark has passed it
	l.expectWindow(5, "!e")  // a part was given before
	l.drain(pb.DrainReason_DRAIN_REASON_INPUT_ENDED)
	l.expectWindow(6, "f")
	b.end(l)

	b, l = startWindows(t, Bounds{Records: 1000}, func(w *pb.Welcome) {
		w.MaxRecord, w.Inputs[0].MaxUnsettledBytes = 3000, 4000
	})
	l.deliver(strings.Repeat("x", 800), strings.Repeat("y", 800))
	l.expectWindow(1, "!"+strings.Repeat("x", 800)+"+"+strings.Repeat("y", 800))
	b.end(l)
}

func TestVerdictsOfWindows(t *testing.T) {
	b, l := startWindows(t, Bounds{Records: 3}, nil)
	l.deliver("a", "reject", "b", "c", "fail", "d", "e", "release", "f", "reject", "reject", "g")
	o := l.expectWindow(1, "a+b")
	if o.First != 1 || o.Last != 0 || len(o.More) != 1 || o.More[0].First != 3 {
		t.Fatalf("%v", o)
	}
	got := l.outcomes(12)
	if r := got[2]; r.Kind != pb.OutcomeKind_OUTCOME_KIND_REJECTED || r.Error.Code != 1007 {
		t.Fatalf("%v", r)
	}
	if r := got[5]; r.Kind != pb.OutcomeKind_OUTCOME_KIND_RETRY || r.First != 4 || r.Last != 6 || r.Error.Message != "oops" {
		t.Fatalf("%v", r)
	}
	if r := got[8]; r.Kind != pb.OutcomeKind_OUTCOME_KIND_RELEASED || r.First != 7 || r.Last != 9 {
		t.Fatalf("%v", r)
	}
	if got[10].Kind != pb.OutcomeKind_OUTCOME_KIND_REJECTED || got[12].Kind != pb.OutcomeKind_OUTCOME_KIND_ACCEPTED {
		t.Fatalf("%v", got)
	}
	b.end(l)
}

func TestParentsAreRecordsOfTheWindow(t *testing.T) {
	var stranger *Record
	b := newFakeBroker(t, windowWorker(Bounds{Records: 2}, func(w *Window, out *Emitter) error {
		if stranger == nil {
			stranger = w.Records[1]
			out.Emit(Output{Parents: []*Record{w.Records[1], w.Records[1]}})
			return nil
		}
		out.Emit(Output{Parents: []*Record{stranger}})
		return nil
	}), "")
	l := b.welcome(welcomeMessage())
	l.credit(100, 1<<20)
	l.deliver("a", "b", "c", "d")
	got := l.outcomes(4)
	if parents := got[1].Emissions[0].Parents; len(parents) != 1 || parents[0] != 2 {
		t.Fatalf("%v", got[1])
	}
	if got[3].Kind != pb.OutcomeKind_OUTCOME_KIND_RETRY || !strings.Contains(got[3].Error.Message, "parents") {
		t.Fatalf("%v", got[3])
	}
	b.end(l)
}

// Whatever the order of arrival: every record is in exactly one window, and in the right one, or late.
func TestEveryRecordIsInOneWindow(t *testing.T) {
	for seed := int64(1); seed <= 200; seed++ {
		r := newRandom(seed)
		size := int64(1 + r.Intn(20))
		bounds := Bounds{EventTime: time.Duration(size) * time.Microsecond, Lateness: time.Duration(r.Intn(10)) * time.Microsecond, ByKey: r.Intn(2) == 0, Idle: -1}
		a := newAssembler(bounds)
		seen, late, latest := map[*Record]int{}, 0, int64(-1<<60)
		check := func() {
			for _, w := range a.ready {
				for _, record := range w.Records {
					seen[record]++
					if floorTo(record.eventTime, size) != w.id.start || bounds.ByKey && string(record.Key()) != w.id.key {
						t.Fatalf("seed %d: a record at %d in the window from %d", seed, record.eventTime, w.id.start)
					}
				}
			}
			a.ready = nil
		}
		const total = 300
		for n := int64(1); n <= total; n++ {
			record := NewRecord(Output{EventTime: time.UnixMicro(n - 150 + int64(r.Intn(30))), Key: []byte(fmt.Sprint(r.Intn(3)))})
			if record.eventTime == 0 {
				record.eventTime = 1
			}
			if record.eventTime > latest {
				latest = record.eventTime
			}
			why := a.add(record, time.Time{})
			isLate := floorTo(record.eventTime, size)+size <= latest-bounds.Lateness.Microseconds()
			if (why != nil) != isLate {
				t.Fatalf("seed %d: late: %v, expected %v", seed, why, isLate)
			}
			if isLate {
				late++
			}
			check()
		}
		a.endAll(time.Time{})
		check()
		for record, times := range seen {
			if times != 1 {
				t.Fatalf("seed %d: a record at %d in %d windows", seed, record.eventTime, times)
			}
		}
		if len(seen)+late != total {
			t.Fatalf("seed %d: %d in windows and %d late", seed, len(seen), late)
		}
	}
}

func TestShutdownAndSignalsReleaseWindows(t *testing.T) {
	b, l := startWindows(t, Bounds{Records: 100}, nil)
	l.deliver("a", "b")
	l.drain(pb.DrainReason_DRAIN_REASON_SHUTDOWN)
	l.deliver("c")
	for delivery, o := range l.outcomes(3) {
		if o.Kind != pb.OutcomeKind_OUTCOME_KIND_RELEASED {
			t.Fatalf("%d: %v", delivery, o)
		}
	}
	b.end(l)

	w := windowWorker(Bounds{Records: 100}, joining)
	b = newFakeBroker(t, w, "")
	l = b.welcome(welcomeMessage())
	l.deliver("a", "b")
	l.send(&pb.Envelope{Message: &pb.Envelope_Ping{Ping: &pb.Ping{Nonce: 1}}})
	l.expect(func(e *pb.Envelope) bool { return e.GetPong() != nil })
	w.signals <- syscall.SIGTERM
	e := l.read()
	// What no window had taken yet when the signal came is released on its own.
	for ; e.GetSettle() != nil; e = l.read() {
		for _, o := range e.GetSettle().Outcomes {
			if o.Kind != pb.OutcomeKind_OUTCOME_KIND_RELEASED {
				t.Fatalf("settled after the signal: %v", o)
			}
		}
	}
	if e.GetClose() == nil || e.GetClose().Code != 0 {
		t.Fatalf("Close(0) gives back what is held: %v", e)
	}
	l.conn.Close()
	b.expectExit(0)
}

func TestAWaitingWindowRenewsItsLease(t *testing.T) {
	b, l := startWindows(t, Bounds{Records: 2}, func(w *pb.Welcome) { w.LeaseMs = 60 })
	l.deliver("a")
	for i := 0; i < 3; i++ {
		l.expect(func(e *pb.Envelope) bool { return e.GetExtend() != nil })
	}
	l.deliver("b")
	l.expectWindow(1, "a+b")
	b.end(l)
}

func TestBoundsThatCannotBeMeant(t *testing.T) {
	for _, bounds := range []Bounds{{}, {Records: -1}, {Records: 1, EventTime: time.Second}, {Records: 1, Lateness: 1}, {EventTime: 1}} {
		var stderr strings.Builder
		if code := windowWorker(bounds, joining).main(func(string) string { return "x" }, &stderr); code != 2 || stderr.Len() == 0 {
			t.Fatalf("%+v: %d %s", bounds, code, stderr.String())
		}
	}
}
