package stagewire

import (
	"reflect"
	"strings"
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
		r := withID(id, Output{EventTime: time.Unix(seconds, 0)})
		r.attempt = attempt
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

// lagging plays records of keys into an assembler; every call is a second later.
type lagging struct {
	*assembler
	t    *testing.T
	now  time.Time
	next uint64
}

func newLagging(t *testing.T, bounds Bounds) *lagging {
	l := &lagging{assembler: newAssembler(bounds), t: t, now: time.Unix(1000, 0), next: 1}
	l.ordering = orderings{0: pb.Ordering_ORDERING_KEY}
	return l
}

// withID is a record whose id has this last byte.
func withID(id byte, o Output) *Record {
	lineage := append([]byte{0x0a, 18, 0x0a, 16}, append(make([]byte, 15), id)...)
	record, err := decodeRecord(append(lineage, o.appendTo(nil)...))
	if err != nil {
		panic(err)
	}
	return record
}

func (l *lagging) add(r at) *verdict {
	record := withID(r.id, Output{EventTime: time.Unix(r.seconds, 0), Key: []byte(r.key), Payload: []byte(r.payload)})
	record.attempt, record.delivery = maxOf(r.attempt, 1), l.next
	l.next++
	l.now = l.now.Add(time.Second)
	return l.assembler.add(record, l.now)
}

func (l *lagging) expectLate(isLate bool, r at) {
	l.t.Helper()
	if why := l.add(r); (why != nil) != isLate {
		l.t.Fatalf("%+v: %v", r, why)
	}
}

// take returns the windows that have ended, "!" in front of those that are incomplete.
func (l *lagging) take() (texts []string) {
	for _, w := range l.ready {
		text := ""
		if !w.Complete {
			text = "!"
		}
		for _, record := range w.Records {
			text += string(record.Payload())
		}
		texts = append(texts, text)
	}
	l.ready = nil
	return texts
}

func (l *lagging) expectWindows(texts ...string) {
	l.t.Helper()
	if got := l.take(); !reflect.DeepEqual(got, texts) {
		l.t.Fatalf("%q, expected %q", got, texts)
	}
}

// giveBackAll retries what has ended; all of it becomes dead letters.
func (l *lagging) giveBackAll() {
	for len(l.ready) > 0 {
		w := l.ready[0]
		l.ready = l.ready[1:]
		if len(w.Records) > 0 {
			l.giveBack(w, l.now)
		}
	}
}

// The worker is not told of dead letters. But what comes of the key comes behind them.
func TestAKeyWhoseWindowBecameDeadLettersCatchesUp(t *testing.T) {
	for _, byKey := range []bool{true, false} {
		l := newLagging(t, Bounds{EventTime: 10 * time.Second, Idle: -1, ByKey: byKey})
		l.expectLate(false, at{seconds: 100, key: "k", payload: "a", id: 1})
		l.expectLate(false, at{seconds: 111, key: "o", payload: "b", id: 2})
		l.giveBackAll()
		l.expectLate(false, at{seconds: 150, key: "o", payload: "c", id: 3})
		l.expectWindows("b")
		// The broker may have kept these behind the dead letter: they are not late.
		l.expectLate(false, at{seconds: 109, key: "k", payload: "d", id: 4})
		l.expectLate(false, at{seconds: 131, key: "k", payload: "e", id: 5})
		l.expectLate(true, at{seconds: 108, key: "k", payload: "f", id: 6}) // its own progress makes it late
		l.expectLate(true, at{seconds: 131, key: "o", payload: "g", id: 7})
		l.expectLate(false, at{seconds: 155, key: "k", payload: "h", id: 8})
		if len(l.lagging) != 0 {
			t.Fatalf("the key has caught up: %+v", l.lagging)
		}
		l.expectLate(true, at{seconds: 139, key: "k", payload: "i", id: 9})
		l.tick(l.now.Add(defaultIdle), true)
		l.endAll(l.now)
		if got := strings.Join(l.take(), " "); got != map[bool]string{true: "e !d c h", false: "e !d ch"}[byKey] || l.order.Len() != 0 {
			t.Fatalf("by key %v: %q", byKey, got)
		}
	}
}

func TestWhatDoesNotComeBackIsForgotten(t *testing.T) {
	l := newLagging(t, Bounds{EventTime: 10 * time.Second, Idle: -1, ByKey: true})
	keys := "abcdefghij"
	for i, key := range keys {
		l.expectLate(false, at{seconds: 100, key: string(key), payload: "x", id: byte(i + 1)})
	}
	l.expectLate(false, at{seconds: 200, key: "o", payload: "y", id: 99})
	l.giveBackAll()
	if len(l.lagging) != len(keys) || len(l.returning) != len(keys) {
		t.Fatalf("%d keys lag, %d windows are away", len(l.lagging), len(l.returning))
	}
	given := l.now
	l.tick(given.Add(forgetAfter/2), true)
	l.expectLate(false, at{seconds: 101, key: "a", payload: "kept behind", id: 20}) // "a" shows itself
	l.lastCame = given.Add(forgetAfter / 2)
	l.expectLate(false, at{seconds: 102, key: "a", payload: "this too", id: 21})
	l.lagging[lane{0, "a"}].since = given.Add(forgetAfter / 2)
	l.tick(given.Add(forgetAfter), true)
	if len(l.lagging) != 1 || len(l.returning) != 0 {
		t.Fatalf("%d keys lag, %d windows are away", len(l.lagging), len(l.returning))
	}
	l.expectLate(true, at{seconds: 101, key: "b", payload: "x", id: 30})
	// It was only slow: neither it nor what is behind it is late.
	l.expectLate(false, at{seconds: 100, key: "c", payload: "x", id: 3})
	l.expectLate(false, at{seconds: 115, key: "c", payload: "x", id: 31})
	l.expectLate(false, at{seconds: 100, key: "d", payload: "x", id: 50, attempt: 9})
	l.expectLate(false, at{seconds: 115, key: "d", payload: "x", id: 51})
}

// What is void in a window of other keys comes again in a part of its own; neither part is complete.
func TestAWindowThatLostWhatIsVoidIsIncomplete(t *testing.T) {
	l := newLagging(t, Bounds{EventTime: 10 * time.Second, Idle: -1})
	l.expectLate(false, at{seconds: 100, key: "k", payload: "a", id: 1})
	l.expectLate(false, at{seconds: 110, key: "o", payload: "b", id: 2})
	w := l.ready[0]
	l.ready = nil
	l.expectLate(false, at{seconds: 111, key: "k", payload: "c", id: 3})
	l.giveBack(w, l.now)
	if len(l.void) != 1 || string(l.void[0].Payload()) != "c" {
		t.Fatalf("%v", l.void)
	}
	l.expectLate(false, at{seconds: 120, key: "o", payload: "d", id: 4})
	l.expectWindows("!b")
	l.expectLate(false, at{seconds: 100, key: "k", payload: "a", id: 1, attempt: 2})
	l.expectLate(false, at{seconds: 111, key: "k", payload: "c", id: 3})
	l.expectLate(false, at{seconds: 125, key: "k", payload: "e", id: 5})
	l.expectWindows("a", "!c")

	// It is whole when they are back in time.
	l = newLagging(t, Bounds{EventTime: 10 * time.Second, Lateness: 5 * time.Second, Idle: -1})
	l.expectLate(false, at{seconds: 100, key: "k", payload: "a", id: 1})
	l.expectLate(false, at{seconds: 115, key: "o", payload: "b", id: 2})
	w = l.ready[0]
	l.ready = nil
	l.expectLate(false, at{seconds: 116, key: "k", payload: "c", id: 3})
	l.giveBack(w, l.now)
	l.expectLate(false, at{seconds: 100, key: "k", payload: "a", id: 1, attempt: 2})
	l.expectLate(false, at{seconds: 116, key: "k", payload: "c", id: 3})
	l.expectLate(false, at{seconds: 125, key: "o", payload: "d", id: 4})
	l.expectWindows("a", "bc")
}
