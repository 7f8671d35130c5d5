package stagewire

import (
	"testing"
	"time"

	pb "stagewire.dev/sdk/go/stagewirepb"
)

func TestARetriedWindowComesBackAndIsNotLate(t *testing.T) {
	b, l := startWindows(t, Bounds{EventTime: 10 * time.Second, Idle: -1}, nil)
	l.deliverAt(at{seconds: 100, payload: "a", id: 1}, at{seconds: 101, payload: "retry", id: 2}, at{seconds: 112, payload: "c", id: 3})
	if got := l.outcomes(2); got[1].Kind != pb.OutcomeKind_OUTCOME_KIND_RETRY || got[3] != nil {
		t.Fatalf("%v", got)
	}
	// Without a key they are not related: delivery 3 stays where it is.
	l.deliverAt(at{seconds: 100, payload: "a", id: 1, attempt: 2}, at{seconds: 101, payload: "retry", id: 2, attempt: 2})
	l.deliverAt(at{seconds: 122, payload: "d", id: 4})
	l.expectWindow(4, "a+retry")
	if o := l.expectWindow(3, "c"); o.First != 3 || len(o.More) != 0 {
		t.Fatalf("%v", o)
	}
	b.end(l)
}

// While the records of one key are away, those of the others move the watermark. What the broker has held
// back of the key behind them is not late when it comes at last.
func TestAKeyThatLagsIsNotLate(t *testing.T) {
	b, l := startWindows(t, Bounds{EventTime: 10 * time.Second, Idle: -1, ByKey: true}, nil)
	l.deliverAt(at{seconds: 100, payload: "retry", key: "k", id: 1}, at{seconds: 111, payload: "b", key: "k", id: 2}, at{seconds: 112, payload: "x", key: "o", id: 9})
	if got := l.outcomes(2); got[1].Kind != pb.OutcomeKind_OUTCOME_KIND_RETRY || got[2].Kind != pb.OutcomeKind_OUTCOME_KIND_RELEASED {
		t.Fatalf("the second is void, with the first: %v", got)
	}
	ping := l.expectPing()
	l.deliverAt(at{seconds: 150, payload: "y", key: "o", id: 10})
	l.expectWindow(3, "x")
	l.pong(ping)
	l.deliverAt(at{seconds: 100, payload: "retry", key: "k", id: 1, attempt: 2}, at{seconds: 109, payload: "never seen", key: "k", id: 3})
	l.deliverAt(at{seconds: 111, payload: "b", key: "k", id: 2}, at{seconds: 119, payload: "nor this", key: "k", id: 4})
	l.expectWindow(5, "retry+never seen")
	l.deliverAt(at{seconds: 151, payload: "z", key: "k", id: 5})
	l.expectWindow(7, "b+nor this")
	l.deliverAt(at{seconds: 119, payload: "late", key: "k", id: 6})
	if got := l.outcomes(8); got[10].Kind != pb.OutcomeKind_OUTCOME_KIND_REJECTED {
		t.Fatalf("it has caught up: %v", got)
	}
	l.drain(pb.DrainReason_DRAIN_REASON_INPUT_ENDED)
	l.expectWindow(9, "z")
	b.end(l)
}

func TestWhatReturnsInPartIsIncomplete(t *testing.T) {
	a := newAssembler(Bounds{EventTime: 10 * time.Second, Idle: time.Second})
	a.ordering = orderings{0: pb.Ordering_ORDERING_NONE}
	record := func(seconds int64, id byte, attempt uint32) *Record {
		r := NewRecord(Output{EventTime: time.Unix(seconds, 0)})
		r.lineage, r.attempt = append([]byte{0x0a, 16}, append(make([]byte, 15), id)...), attempt
		return r
	}
	now := time.Unix(1000, 0)
	for i, seconds := range []int64{100, 101, 120} {
		if why := a.add(record(seconds, byte(i+1), 1), now); why != nil {
			t.Fatal(why)
		}
	}
	if len(a.ready) != 1 || !a.ready[0].Complete || len(a.ready[0].Records) != 2 {
		t.Fatalf("%+v", a.ready)
	}
	a.giveBack(a.ready[0], now)
	a.ready = nil
	if why := a.add(record(100, 1, 1), now); why != nil { // released: the same attempt
		t.Fatal(why)
	}
	a.endAll(now) // the others may still come
	if len(a.ready) != 1 || a.ready[0].id.start != 120_000_000 {
		t.Fatalf("%+v", a.ready)
	}
	if due := a.deadline(); !due.Equal(now.Add(time.Second)) {
		t.Fatal(due)
	}
	a.tick(now.Add(time.Second), true)
	if len(a.ready) != 2 || a.ready[1].Complete {
		t.Fatalf("%+v", a.ready)
	}
	if why := a.add(record(102, 9, 1), now); why == nil { // was never here
		t.Fatal("it should be late")
	}
}
