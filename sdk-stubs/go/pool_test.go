package stagewire

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "stagewire.dev/sdk/go/stagewirepb"
)

// gates hold handlers until the test lets them go, by payload.
type gates struct {
	seen
	entered chan string
	held    map[string]chan error
}

func newGates(held ...string) *gates {
	g := &gates{entered: make(chan string, 1000), held: map[string]chan error{}}
	for _, payload := range held {
		g.held[payload] = make(chan error)
	}
	return g
}

func (g *gates) handle(r *Record, out *Emitter) error {
	g.add(r)
	g.entered <- string(r.Payload())
	if gate := g.held[string(r.Payload())]; gate != nil {
		return <-gate
	}
	return nil
}

// await waits until so many handlers have been called.
func (g *gates) await(t *testing.T, calls int) {
	t.Helper()
	for ; calls > 0; calls-- {
		select {
		case <-g.entered:
		case <-time.After(patience):
			t.Fatalf("%d handlers more were to be called", calls)
		}
	}
}

func startPool(t *testing.T, handler Transform, ordering pb.Ordering, with ...Option) (*fakeBroker, *link) {
	t.Helper()
	b := newFakeBroker(t, newWorker(handler, nil, append([]Option{Workers(3)}, with...)), "")
	welcome := welcomeMessage()
	welcome.Inputs[0].Ordering = ordering
	return b, b.welcome(welcome)
}

func TestAHeldKeyHoldsNoOtherBack(t *testing.T) {
	g := newGates("a1", "b1")
	b, l := startPool(t, g.handle, pb.Ordering_ORDERING_KEY)
	l.deliverAt(at{payload: "a1", key: "a"}, at{payload: "a2", key: "a"}, at{payload: "b1", key: "b"}, at{payload: "c", key: "c"},
		at{payload: "b2", key: "b"}, at{payload: "d"}, at{payload: "e"})
	got := l.outcomes(3)
	if got[4].GetKind() != accepted || got[6].GetKind() != accepted || got[7].GetKind() != accepted {
		t.Fatalf("%v", got)
	}
	g.await(t, 5)
	l.barrier() // answered while handlers work
	g.held["b1"] <- nil
	if got = l.outcomes(5); got[3].GetKind() != accepted || got[5].GetKind() != accepted {
		t.Fatalf("%v", got)
	}
	g.held["a1"] <- Reject(1001, "never") // voids nothing
	l.expectKinds(rejected, accepted, accepted, accepted, accepted, accepted, accepted)
	b.end(l)
}

func TestTotalIsOneAtATimeAndNoneIsNot(t *testing.T) {
	for _, ordering := range []pb.Ordering{pb.Ordering_ORDERING_TOTAL, pb.Ordering_ORDERING_NONE, pb.Ordering(99)} {
		g := newGates("first")
		b, l := startPool(t, g.handle, ordering)
		l.deliverAt(at{payload: "first", key: "k"}, at{payload: "second", key: "k"}, at{payload: "third", key: "o"})
		if ordering == pb.Ordering_ORDERING_NONE {
			if got := l.outcomes(2); got[2].GetKind() != accepted || got[3].GetKind() != accepted {
				t.Fatalf("%v", got)
			}
		} else {
			l.barrier()
			if len(l.settledOutcomes) > 0 {
				t.Fatalf("%v", l.settledOutcomes)
			}
		}
		g.held["first"] <- nil
		l.expectKinds(accepted, accepted, accepted)
		if ordering != pb.Ordering_ORDERING_NONE {
			g.expect(t, "first", "second", "third")
		}
		b.end(l)
	}
}

// Records of eight keys, handled as the scheduler likes, with every kind of outcome that voids nothing.
func TestALaneIsHandledAndSettledInOrder(t *testing.T) {
	const records = 4000
	var handling, last [8]atomic.Int64
	var wrong atomic.Int64
	random := newRandom(5)
	handler := func(r *Record, out *Emitter) error {
		var n, lane int64
		_, _ = fmt.Sscan(string(r.Payload()), &n)
		if lane = n % 8; lane > 0 { // those without a key are in no order
			if handling[lane].Add(1) != 1 || last[lane].Swap(n) >= n {
				wrong.Add(1)
			}
			defer handling[lane].Add(-1)
		}
		for i := int64(0); i < n%13; i++ {
			runtime.Gosched()
		}
		switch n % 5 {
		case 0:
			return Reject(1001, "never")
		case 1, 2:
			out.Emit(r.Output())
		}
		return nil
	}
	b, l := startPool(t, handler, pb.Ordering_ORDERING_KEY)
	for n := 1; n <= records; {
		var batch []at
		for count := random.Intn(200); count >= 0 && n <= records; count-- {
			one := at{payload: fmt.Sprint(n)}
			if n%8 > 0 {
				one.key = fmt.Sprint("key", n%8)
			}
			batch = append(batch, one)
			n++
		}
		l.deliverAt(batch...)
		l.credit(uint64(n), 1<<40) // never more than there is to emit
	}
	got := l.outcomes(records)
	if wrong.Load() > 0 {
		t.Fatalf("%d records were handled out of order", wrong.Load())
	}
	before := map[uint64]uint64{}
	for _, o := range l.settledOutcomes {
		for _, r := range append([]*pb.Range{{First: o.First, Last: o.Last}}, o.More...) {
			for id := r.First; id <= r.Last || id == r.First; id++ {
				if lane := id % 8; lane > 0 {
					if before[lane] >= id {
						t.Fatalf("delivery %d is settled after %d", id, before[lane])
					}
					before[lane] = id
				}
			}
		}
	}
	for id, o := range got {
		if (id%5 == 0) != (o.Kind == rejected) || (id%5 == 1 || id%5 == 2) != (len(o.Emissions) == 1) {
			t.Fatalf("delivery %d: %v", id, o)
		}
	}
	b.end(l)
}

func TestWhatWaitsBehindARetryIsReleasedInOrder(t *testing.T) {
	g := newGates("a1", "b")
	b, l := startPool(t, g.handle, pb.Ordering_ORDERING_KEY)
	l.deliverAt(at{payload: "a1", key: "a"}, at{payload: "b", key: "b"}, at{payload: "a2", key: "a"}, at{payload: "c", key: "c"}, at{payload: "a3", key: "a"})
	g.await(t, 3)
	g.held["a1"] <- Retry(0, "later")
	got := l.outcomes(4)
	if got[1].GetKind() != retried || got[3].GetKind() != released || got[5].GetKind() != released || got[4].GetKind() != accepted {
		t.Fatalf("%v", got)
	}
	// Under way, and of another lane.
	l.deliverAt(at{payload: "a4", key: "a"}, at{payload: "d", key: "d"})
	if got = l.outcomes(6); got[6].GetKind() != released || got[7].GetKind() != accepted {
		t.Fatalf("%v", got)
	}
	l.pong(l.lastPing())
	l.deliverAt(at{payload: "again", key: "a", attempt: 2})
	if got = l.outcomes(7); got[8].GetKind() != accepted {
		t.Fatalf("%v", got)
	}
	g.held["b"] <- nil
	l.outcomes(8)
	var order []uint64
	for _, o := range l.settledOutcomes {
		if o.Kind != accepted {
			order = append(order, o.First)
			for _, more := range o.More {
				order = append(order, more.First)
			}
		}
	}
	if fmt.Sprint(order) != "[1 3 5 6]" {
		t.Fatalf("%v", order)
	}
	b.end(l)
}

func TestWhoWaitsForCreditHoldsNoOtherOutputBack(t *testing.T) {
	w := newWorker(func(r *Record, out *Emitter) error {
		for i := 0; i < len(r.Payload()); i++ {
			out.Emit(Output{Port: string(r.Payload()[i])})
		}
		return nil
	}, nil, []Option{Workers(4)})
	b := newFakeBroker(t, w, "")
	welcome := welcomeMessage()
	welcome.Outputs = []*pb.Output{{Number: 0, Port: "x"}, {Number: 1, Port: "y"}}
	l := b.welcome(welcome)
	l.records, l.bytes = 1<<40, 1<<40 // counted by this test
	credit := func(output uint32, records uint64) {
		l.send(&pb.Envelope{Message: &pb.Envelope_Credit{Credit: &pb.Credit{Number: output, Records: records, Bytes: 1 << 40}}})
	}
	credit(1, 1)
	l.deliverAt(at{payload: "xxx", key: "a"}, at{payload: "", key: "a"})
	l.barrier()
	l.deliverAt(at{payload: "y", key: "b"}, at{payload: "", key: "c"})
	if got := l.outcomes(2); got[3] == nil || got[4] == nil {
		t.Fatalf("%v", got)
	}
	credit(0, 2)
	l.deliverAt(at{payload: "", key: "a"})
	l.barrier()
	if len(l.outcomes(2)) != 2 {
		t.Fatalf("%v", l.settledOutcomes)
	}
	// Many wait for both, in whatever order: what there is suffices for all of them.
	for i := 0; i < 10; i++ {
		l.deliverAt(at{payload: "xy", key: "d"}, at{payload: "x", key: "e"}, at{payload: "yyy"})
		credit(1, uint64(5+4*i))
		credit(0, uint64(5+2*i))
	}
	l.outcomes(35)
	// One that needs less does not overtake what has waited longer.
	used := uint64(23)
	l.deliverAt(at{payload: "xxx", key: "a"})
	w.awaitClaims(t, 1)
	l.deliverAt(at{payload: "x", key: "b"})
	w.awaitClaims(t, 2)
	credit(0, used+2)
	for i := 0; i < 100; i++ {
		l.barrier()
	}
	credit(0, used+3)
	if got := l.outcomes(36); got[36] == nil {
		t.Fatalf("%v", got)
	}
	credit(0, used+4)
	l.outcomes(37)
	b.end(l)
}

// awaitClaims waits until so many outcomes wait for credit.
func (w *worker) awaitClaims(t *testing.T, n int) {
	t.Helper()
	for limit := time.Now().Add(patience); ; runtime.Gosched() {
		w.mu.Lock()
		claims := len(w.session.claims)
		w.mu.Unlock()
		if claims == n {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("%d outcomes wait, not %d", claims, n)
		}
	}
}

// What needs less of the same output does not overtake what has waited longer, or that might wait for ever.
func TestCreditIsTakenInTheOrderOfWaiting(t *testing.T) {
	large, small, other := []charge{{records: 3}, {}}, []charge{{records: 1}, {}}, []charge{{}, {records: 1}}
	both := []charge{{records: 1}, {records: 1}}
	w := newWorker(nil, nil, nil)
	s := &session{mu: &w.mu, cond: w.cond, claims: [][]charge{large, small, other, both}}
	for i, isFirst := range []bool{true, false, true, false} {
		if s.isFirst(s.claims[i]) != isFirst {
			t.Fatalf("claim %d", i)
		}
	}
	s.withdraw(large)
	if !s.isFirst(small) || !s.isFirst(other) || s.isFirst(both) {
		t.Fatal("the large one is gone")
	}
	s.withdraw(other)
	if s.withdraw(small); !s.isFirst(both) || len(s.claims) != 1 {
		t.Fatal("all others are gone")
	}
}

func TestAnOverdueHandlerIsWhatTheBrokerCharges(t *testing.T) {
	g := newGates("slow")
	w := newWorker(func(r *Record, out *Emitter) error {
		if string(r.Payload()) == "older" {
			<-r.session().overdueSeen(t)
		}
		err := g.handle(r, out)
		if string(r.Payload()) == "slow" {
			g.add(NewRecord(Output{Payload: []byte("slow has returned")}))
		}
		return err
	}, nil, []Option{Workers(3), Timeout(20 * time.Millisecond)})
	b := newFakeBroker(t, w, "")
	welcome := welcomeMessage()
	welcome.LeaseMs = 30
	l := b.welcome(welcome)
	// 1 is overdue as well, but returns; then 3 may go, for it is older than 4.
	l.deliverAt(at{payload: "older", key: "a"}, at{payload: "before", key: "b"}, at{payload: "behind", key: "a"}, at{payload: "slow", key: "c"},
		at{payload: "last", key: "a"})
	if got := l.outcomes(3); got[1] == nil || got[2] == nil || got[3] == nil {
		t.Fatalf("%v", got)
	}
	l.deliverAt(at{payload: "younger", key: "d"})
	for i := 0; i < 100; i++ { // whoever was to begin it would have
		l.barrierBetween()
	}
	g.held["slow"] <- nil
	l.outcomes(6)
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, payload := range g.payloads {
		if isLater := payload == "last" || payload == "younger"; isLater && i < len(g.payloads)-2 {
			t.Fatalf("what came later keeps the lease alive: %q", g.payloads)
		}
	}
	b.end(l)
}

// overdueSeen is closed when delivery 4 is overdue.
func (s *session) overdueSeen(t *testing.T) <-chan struct{} {
	seen := make(chan struct{})
	go func() {
		defer close(seen)
		for limit := time.Now().Add(patience); time.Now().Before(limit); runtime.Gosched() {
			for _, c := range s.callers {
				if c.overdue.Load() == 4 {
					return
				}
			}
		}
		t.Error("the handler of delivery 4 is not overdue")
	}()
	return seen
}

// barrierBetween is `barrier` where Extend may come in between.
func (l *link) barrierBetween() {
	l.send(&pb.Envelope{Message: &pb.Envelope_Ping{Ping: &pb.Ping{Nonce: 79}}})
	l.expect(func(e *pb.Envelope) bool { return e.GetPong().GetNonce() == 79 })
}

func TestASignalFinishesWhatAllHandlersHave(t *testing.T) {
	g := newGates("a1", "b1")
	w := newWorker(g.handle, nil, []Option{Workers(2)})
	b := newFakeBroker(t, w, "aa")
	l := b.welcome(welcomeMessage())
	l.deliverAt(at{payload: "a1", key: "a"}, at{payload: "a2", key: "a"}, at{payload: "b1", key: "b"}, at{payload: "c1", key: "c"})
	g.await(t, 2)
	w.signals <- syscall.SIGTERM
	<-w.stopped
	g.held["a1"] <- nil
	g.held["b1"] <- nil
	l.expect(func(e *pb.Envelope) bool { return e.GetClose() != nil })
	if got := l.outcomes(2); got[1].GetKind() != accepted || got[3].GetKind() != accepted || len(got) != 2 {
		t.Fatalf("%v", got)
	}
	l.conn.Close()
	b.expectExit(0)
}

func TestAShutdownReleasesWhatNoHandlerHas(t *testing.T) {
	g := newGates("a1", "b1")
	b, l := startPool(t, g.handle, pb.Ordering_ORDERING_KEY)
	l.deliverAt(at{payload: "a1", key: "a"}, at{payload: "a2", key: "a"}, at{payload: "b1", key: "b"}, at{payload: "a3", key: "a"}, at{payload: "b2", key: "b"})
	g.await(t, 2)
	l.drain(pb.DrainReason_DRAIN_REASON_SHUTDOWN)
	l.barrier()
	g.held["a1"] <- nil
	g.held["b1"] <- Release()
	l.deliverAt(at{payload: "late"})
	l.expectKinds(accepted, released, released, released, released, released)
	g.expect(t, "a1", "b1")
	b.end(l)
}

func TestPanicsInManyHandlersAreRetries(t *testing.T) {
	var calls sync.WaitGroup
	calls.Add(3)
	b, l := startPool(t, func(r *Record, out *Emitter) error {
		calls.Done()
		calls.Wait() // all at once
		panic("boom")
	}, pb.Ordering_ORDERING_NONE)
	l.deliverAt(at{payload: "a"}, at{payload: "b"}, at{payload: "c"})
	l.expectKinds(retried, retried, retried)
	b.end(l)
}

func TestOnlyTransformsAndSinksHaveSeveralWorkers(t *testing.T) {
	for _, w := range []*worker{newWorker(double, nil, []Option{Workers(0)}), windowWorker(Bounds{Records: 1}, joining, Workers(2)),
		newWorker(nil, func(*Source) error { return nil }, []Option{Workers(3)})} {
		b := newFakeBroker(t, w, "")
		b.expectExit(2)
		if said := b.stderr.String(); !strings.Contains(said, "Workers(") {
			t.Fatal(said)
		}
	}
}

func TestPlainVerdictsInAnyOrderAreOneOutcome(t *testing.T) {
	var settle pb.Envelope
	s := newSettler(func(frame []byte) {
		if err := proto.Unmarshal(frame[4:], &settle); err != nil {
			t.Fatal(err)
		}
	}, 4<<20)
	for _, delivery := range []uint64{3, 1, 2, 7, 9, 8, 5} {
		s.accept(delivery)
	}
	s.flush()
	got := settle.GetSettle().Outcomes
	if len(got) != 1 || got[0].First != 1 || got[0].Last != 3 || len(got[0].More) != 2 {
		t.Fatalf("%v", got)
	}
	if more := got[0].More; more[0].First != 5 || more[0].Last != 0 || more[1].First != 7 || more[1].Last != 9 || s.settledCount() != 7 {
		t.Fatalf("%v", more)
	}
}
