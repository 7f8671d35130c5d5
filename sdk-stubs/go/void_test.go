package stagewire

import (
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	pb "stagewire.dev/sdk/go/stagewirepb"
)

const (
	accepted = pb.OutcomeKind_OUTCOME_KIND_ACCEPTED
	rejected = pb.OutcomeKind_OUTCOME_KIND_REJECTED
	retried  = pb.OutcomeKind_OUTCOME_KIND_RETRY
	released = pb.OutcomeKind_OUTCOME_KIND_RELEASED
)

// seen is what handlers were given, in order.
type seen struct {
	mu       sync.Mutex
	payloads []string
}

func (s *seen) add(r *Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.payloads = append(s.payloads, string(r.Payload()))
}

func (s *seen) expect(t *testing.T, payloads ...string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !reflect.DeepEqual(s.payloads, payloads) {
		t.Fatalf("handlers saw %q, expected %q", s.payloads, payloads)
	}
}

// expectKinds waits until deliveries 1 to n are settled, and compares their verdicts.
func (l *link) expectKinds(kinds ...pb.OutcomeKind) {
	l.t.Helper()
	got := l.outcomes(len(kinds))
	for i, kind := range kinds {
		if got[uint64(i+1)].GetKind() != kind {
			l.t.Fatalf("delivery %d: %v, expected %v; all: %v", i+1, got[uint64(i+1)], kind, got)
		}
	}
}

// failing sees a record, and does to it what its payload says.
func failing(s *seen) Transform {
	return func(r *Record, _ *Emitter) error {
		s.add(r)
		switch string(r.Payload()) {
		case "reject":
			return Reject(1001, "never")
		case "retry":
			return Retry(time.Millisecond, "later")
		case "release":
			return Release()
		case "error":
			return errors.New("oops")
		case "panic":
			panic("boom")
		}
		return nil
	}
}

func TestWhatIsVoidIsReleasedUnseen(t *testing.T) {
	for payload, kind := range map[string]pb.OutcomeKind{"retry": retried, "release": released, "error": retried, "panic": retried} {
		s := &seen{}
		b := newFakeBroker(t, newWorker(failing(s), nil, nil), "")
		l := b.welcome(welcomeMessage())
		l.deliverAt(at{payload: "a", key: "k"}, at{payload: payload, key: "k"}, at{payload: "b", key: "k"}, at{payload: "c", key: "o"},
			at{payload: "d", key: "k"}, at{payload: "e"})
		l.expectKinds(accepted, kind, released, accepted, released, accepted)
		ping := l.lastPing()
		// These were under way: the broker had not read the Settle.
		l.deliverAt(at{payload: "f", key: "k"}, at{payload: "g", key: "o"})
		l.expectKinds(accepted, kind, released, accepted, released, accepted, released, accepted)
		l.pong(&pb.Ping{Nonce: ping.Nonce + 100}) // unexpected: means nothing (LV-1)
		l.pong(ping)                              // but f was released behind it
		l.deliverAt(at{payload: "h", key: "k"})
		l.expectKinds(accepted, kind, released, accepted, released, accepted, released, accepted, released)
		l.pong(l.lastPing())
		l.deliverAt(at{payload: "again", key: "k", attempt: 2}, at{payload: "b", key: "k"}, at{payload: "reject", key: "k"}, at{payload: "d", key: "k"})
		l.expectKinds(accepted, kind, released, accepted, released, accepted, released, accepted, released, accepted, accepted, rejected, accepted)
		s.expect(t, "a", payload, "c", "e", "g", "again", "b", "reject", "d")
		b.end(l)
	}
}

func TestALaneIsWhatIsOrdered(t *testing.T) {
	records := []at{{payload: "retry", key: "k"}, {payload: "a", key: "o"}, {payload: "b", key: "k"}, {payload: "c"}}
	for ordering, kinds := range map[pb.Ordering][]pb.OutcomeKind{
		pb.Ordering_ORDERING_KEY:   {retried, accepted, released, accepted},
		pb.Ordering_ORDERING_TOTAL: {retried, released, released, released},
		pb.Ordering(99):            {retried, released, released, released}, // unknown: TOTAL
		pb.Ordering_ORDERING_NONE:  {retried, accepted, accepted, accepted},
	} {
		s := &seen{}
		b := newFakeBroker(t, newWorker(failing(s), nil, nil), "")
		welcome := welcomeMessage()
		welcome.Inputs[0].Ordering = ordering
		welcome.Inputs = append(welcome.Inputs, &pb.Input{Number: 1, Stage: "other", Port: "out", Ordering: ordering})
		l, _ := b.accept()
		l.greet(welcome)
		l.expect(func(e *pb.Envelope) bool { return e.GetCredit().GetNumber() == 1 })
		l.deliverAt(records...)
		l.expectKinds(kinds...)
		if ordering != pb.Ordering_ORDERING_NONE {
			ping := l.lastPing()
			// Another input has lanes of its own.
			l.send(&pb.Envelope{Message: &pb.Envelope_Deliver{Deliver: &pb.Deliver{Input: 1, FirstDelivery: l.next,
				Records: []*pb.Record{{Header: &pb.Header{Key: []byte("k")}, Payload: []byte("d")}}}}})
			l.next++
			l.expectKinds(append(kinds, accepted)...)
			l.pong(ping)
			l.deliverAt(records[1:]...)
			l.expectKinds(append(kinds, accepted, accepted, accepted, accepted)...)
		}
		l.barrier() // nothing is asked where nothing is void
		b.end(l)
	}
}

func TestALaneThatIsGivenBackAgainClosesAgain(t *testing.T) {
	s := &seen{}
	b := newFakeBroker(t, newWorker(failing(s), nil, nil), "")
	l := b.welcome(welcomeMessage())
	l.deliverAt(at{payload: "retry", key: "k"}, at{payload: "a", key: "k"})
	l.expectKinds(retried, released)
	first := l.lastPing()
	l.pong(first)
	l.deliverAt(at{payload: "retry", key: "k", attempt: 2}, at{payload: "a", key: "k"})
	l.expectKinds(retried, released, retried, released)
	second := l.lastPing()
	l.pong(first)
	l.deliverAt(at{payload: "b", key: "k"})
	l.expectKinds(retried, released, retried, released, released)
	third := l.lastPing()
	l.pong(second)
	l.deliverAt(at{payload: "c", key: "k"})
	l.expectKinds(retried, released, retried, released, released, released)
	if third.Nonce <= second.Nonce {
		t.Fatal("no Ping behind what was void")
	}
	l.pong(l.lastPing())
	l.deliverAt(at{payload: "done", key: "k", attempt: 3})
	l.expectKinds(retried, released, retried, released, released, released, accepted)
	s.expect(t, "retry", "retry", "done")
	b.end(l)
}

// The broker has made a dead letter of the retried record and voided nothing: the releases behind it are real,
// and void what is behind them. Whoever opened the lane at the first Pong would handle 4 before 2 comes again.
func TestAReleaseOfWhatIsNotVoidClosesItsLane(t *testing.T) {
	s := &seen{}
	b := newFakeBroker(t, newWorker(failing(s), nil, nil), "")
	l := b.welcome(welcomeMessage())
	l.deliverAt(at{payload: "retry", key: "k", attempt: 5})
	l.expectKinds(retried)
	first := l.expectPing()
	l.deliverAt(at{payload: "2", key: "k"}, at{payload: "3", key: "k"})
	l.expectKinds(retried, released, released)
	second := l.lastPing()
	l.pong(first)
	l.deliverAt(at{payload: "4", key: "k"})
	l.expectKinds(retried, released, released, released)
	third := l.lastPing()
	if second.Nonce <= first.Nonce || third.Nonce <= second.Nonce {
		t.Fatalf("Pings %d, %d, %d", first.Nonce, second.Nonce, third.Nonce)
	}
	l.pong(second)
	l.pong(third)
	l.deliverAt(at{payload: "2", key: "k"}, at{payload: "3", key: "k"}, at{payload: "4", key: "k"})
	l.expectKinds(retried, released, released, released, accepted, accepted, accepted)
	s.expect(t, "retry", "2", "3", "4")
	b.end(l)
}

// Two windows hold records of one lane, and the younger is given back first: what the older one holds
// stands before it and is not void, so the lane is given back once more while it is closed.
func TestALaneGivenBackTwiceOpensAtTheLastPong(t *testing.T) {
	b, l := startWindows(t, Bounds{Records: 2, ByKey: true}, func(w *pb.Welcome) { w.Inputs[0].Ordering = pb.Ordering_ORDERING_TOTAL })
	l.deliverAt(at{payload: "retry", key: "x"}, at{payload: "retry", key: "y"}, at{payload: "a", key: "y"})
	if got := l.outcomes(2); got[1] != nil || got[2].Kind != retried || got[2] != got[3] {
		t.Fatalf("%v", got)
	}
	first := l.lastPing()
	l.drain(pb.DrainReason_DRAIN_REASON_INPUT_ENDED)
	l.expectKinds(retried, retried, retried)
	second := l.lastPing()
	l.pong(first)
	l.deliverAt(at{payload: "too early", key: "z"})
	l.expectKinds(retried, retried, retried, released)
	l.pong(second)
	l.pong(l.lastPing())
	l.deliverAt(at{payload: "b", key: "z"})
	l.expectWindow(5, "b")
	b.end(l)
}

func TestBatchesLeaveOutWhatIsVoid(t *testing.T) {
	s := &seen{}
	calls := 0
	w := newWorker(nil, nil, nil)
	w.batch = func(records []*Record) error {
		calls++
		isBad := false
		for i, record := range records {
			s.add(record)
			isBad = isBad || string(record.Payload()) == "retry" && record.Attempt() == 1
			records[i] = nil // the list is the handler's
		}
		if isBad {
			return Retry(0, "later")
		}
		return nil
	}
	b := newFakeBroker(t, w, "")
	l := b.welcome(welcomeMessage())
	l.deliverAt(at{payload: "a", key: "k"}, at{payload: "retry", key: "k"}, at{payload: "b", key: "o"})
	l.expectKinds(retried, retried, retried)
	l.deliverAt(at{payload: "c", key: "k"}, at{payload: "d", key: "p"}, at{payload: "e", key: "o"}, at{payload: "f", key: "p"})
	l.deliverAt(at{payload: "g", key: "k"}, at{payload: "h", key: "o"})
	l.expectKinds(retried, retried, retried, released, accepted, released, accepted, released, released)
	l.pong(l.lastPing())
	l.deliverAt(at{payload: "a", key: "k", attempt: 2}, at{payload: "retry", key: "k", attempt: 2}, at{payload: "b", key: "o", attempt: 2})
	if got := l.outcomes(12); got[10].Kind != accepted || got[10] != got[12] {
		t.Fatalf("%v", got)
	}
	s.expect(t, "a", "retry", "b", "d", "f", "a", "retry", "b")
	if calls != 3 {
		t.Fatalf("%d calls; a batch that is void as a whole is none", calls)
	}
	b.end(l)
}

func TestWhatIsUnderWayToAWindowIsReleased(t *testing.T) {
	b, l := startWindows(t, Bounds{EventTime: 10 * time.Second, Idle: -1, ByKey: true}, nil)
	l.deliverAt(at{seconds: 100, payload: "retry", key: "k", id: 1}, at{seconds: 110, payload: "a", key: "k", id: 2})
	l.expectKinds(retried, released)
	l.deliverAt(at{seconds: 111, payload: "b", key: "k", id: 3}, at{seconds: 112, payload: "x", key: "o", id: 4})
	l.deliverAt(at{seconds: 125, payload: "y", key: "o", id: 5})
	l.expectWindow(4, "x")
	l.pong(l.lastPing())
	l.deliverAt(at{seconds: 100, payload: "retry", key: "k", id: 1, attempt: 2}, at{seconds: 110, payload: "a", key: "k", id: 2})
	l.deliverAt(at{seconds: 111, payload: "b", key: "k", id: 3}, at{seconds: 126, payload: "c", key: "k", id: 6})
	l.expectWindow(6, "retry")
	l.expectWindow(8, "a+b")
	if got := l.outcomes(7); got[3].Kind != released {
		t.Fatalf("%v", got)
	}
	b.end(l)
}

// oneKey plays a broker with records of one key, all of which the worker may hold at once. It voids and
// delivers anew as OR-3 says.
type oneKey struct {
	link      *link
	attempts  []uint32 // by record
	done      int      // records in front that are accepted
	delivered map[uint64]int
	isVoid    map[uint64]bool
	sent      int // deliveries, redeliveries included
	most      int // records held at once
}

func (k *oneKey) deliver() {
	var records []at
	for n := k.done; n < len(k.attempts); n++ {
		k.delivered[k.link.next+uint64(len(records))] = n
		records = append(records, at{payload: "x", key: "k", attempt: k.attempts[n]})
	}
	for k.link.grantR < k.link.next+uint64(len(records)) {
		k.take(k.link.read())
	}
	k.sent += len(records)
	if len(records) > k.most {
		k.most = len(records)
	}
	k.link.deliverAt(records...)
}

// take does what a frame of the worker says.
func (k *oneKey) take(e *pb.Envelope) {
	k.link.t.Helper()
	switch m := e.Message.(type) {
	case *pb.Envelope_Settle:
		for _, o := range m.Settle.Outcomes {
			last := o.Last
			if last == 0 {
				last = o.First
			}
			for id := o.First; id <= last; id++ {
				k.settle(id, o.Kind)
			}
		}
	case *pb.Envelope_Ping:
		k.link.pong(m.Ping)
		k.deliver()
	}
}

func (k *oneKey) settle(id uint64, kind pb.OutcomeKind) {
	k.link.t.Helper()
	n, isOwed := k.delivered[id]
	if !isOwed {
		k.link.t.Fatalf("delivery %d is settled, but not owed", id)
	}
	delete(k.delivered, id)
	switch {
	case k.isVoid[id]:
	case kind == accepted && n == k.done:
		k.done++
	case kind == retried:
		k.attempts[n]++
		for later := range k.delivered {
			k.isVoid[later] = k.isVoid[later] || later > id
		}
	default:
		k.link.t.Fatalf("delivery %d, record %d, is %v while record %d is the first", id, n, kind, k.done)
	}
}

func TestManyRetriesOfOneKeyCostLinearlyManyCalls(t *testing.T) {
	const records = 300
	calls := 0
	b := newFakeBroker(t, newWorker(func(r *Record, _ *Emitter) error {
		calls++
		if r.Attempt() == 1 {
			return Retry(time.Millisecond, "not at first")
		}
		return nil
	}, nil, nil), "")
	l := b.welcome(welcomeMessage())
	k := &oneKey{link: l, attempts: make([]uint32, records), delivered: map[uint64]int{}, isVoid: map[uint64]bool{}}
	for n := range k.attempts {
		k.attempts[n] = 1
	}
	k.deliver()
	for k.done < records {
		k.take(l.read())
	}
	b.end(l)
	if calls != 2*records || k.most != records || k.sent < records*records/2 {
		t.Fatalf("%d calls for %d records, each tried twice; %d of %d deliveries held at once", calls, records, k.most, k.sent)
	}
}

func TestClosedLanesAreForgottenWhenTheyOpen(t *testing.T) {
	var c closedLanes
	for ping := uint64(1); ping <= 3; ping++ {
		for input := uint32(0); input < 3; input++ {
			c.close(lane{input, "k"}, ping)
			c.close(lane{input, "k"}, ping) // records of one Settle
		}
		c.close(lane{uint32(ping), "only once"}, ping)
	}
	if len(c.closings) != 12 || len(c.opensAt) != 6 {
		t.Fatalf("%+v", c)
	}
	c.open(2)
	if len(c.opensAt) != 4 || c.opensAt[lane{0, "k"}] != 3 || c.opensAt[lane{3, "only once"}] != 3 {
		t.Fatalf("%+v", c)
	}
	c.open(3)
	if len(c.opensAt) != 0 || len(c.closings) != 0 {
		t.Fatalf("%+v", c)
	}
}

func TestThePingIsBehindTheSettleThatGivesBack(t *testing.T) {
	var frames []string
	s := newSettler(func(frame []byte) {
		if frame[7] == envelopeSettle<<3|2 {
			frames = append(frames, "settle")
		} else {
			frames = append(frames, "other")
		}
	}, 4<<20)
	s.accept(1)
	outcome := Retry(0, strings.Repeat("x", maxText)).(*verdict)
	if ping := s.giveBack([]span{{2, 2}}, outcome.outcome()); ping != 1 {
		t.Fatal(ping)
	}
	if ping := s.release(3); ping != 1 { // of the same frame
		t.Fatal(ping)
	}
	for id, ping := uint64(4), uint64(1); id < 12; id++ {
		if id == 11 { // the one before was written, for there were settleTarget bytes
			ping = 2
		}
		if got := s.giveBack([]span{{id, id}}, outcome.outcome()); got != ping {
			t.Fatalf("delivery %d waits for ping %d, expected %d; %q", id, got, ping, frames)
		}
	}
	s.flush()
	if ping := s.release(12); ping != 3 {
		t.Fatal(ping)
	}
	s.flush()
	s.accept(13)
	s.flush()
	if !reflect.DeepEqual(frames, []string{"settle", "other", "settle", "other", "settle", "other", "settle"}) {
		t.Fatalf("%q", frames)
	}
}
