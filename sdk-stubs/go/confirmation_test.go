package stagewire

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	pb "stagewire.dev/sdk/go/stagewirepb"
)

func (l *link) settled(through uint64, refused ...uint64) {
	message := &pb.Settled{Through: through}
	for _, id := range refused {
		message.Refused = append(message.Refused, &pb.Refusal{Id: id, Error: &pb.Error{Code: 306, Message: "no output"}})
	}
	l.send(&pb.Envelope{Message: &pb.Envelope_Settled{Settled: message}})
}

// journaling is a handler that writes into `done` what was confirmed of what it has accepted.
func journaling(done *[]string, emits bool) Transform {
	return func(r *Record, out *Emitter) error {
		text := string(r.Payload())
		r.OnConfirmed(func() error { *done = append(*done, text); return nil })
		switch text {
		case "reject":
			return Reject(1001, "no")
		case "retry":
			return Retry(0, "later")
		case "release":
			return Release()
		case "fail":
			return errors.New("oops")
		}
		if emits {
			out.Emit(r.Output())
		}
		return nil
	}
}

func expectDone(t *testing.T, done []string, expected ...string) {
	t.Helper()
	if !reflect.DeepEqual(done, expected) {
		t.Fatalf("done: %v, expected: %v", done, expected)
	}
}

func TestOnlyWhatIsConfirmedIsDoneAndInOrder(t *testing.T) {
	for _, with := range [][]Option{nil, {Workers(4)}} {
		var done []string
		b := newFakeBroker(t, newWorker(journaling(&done, false), nil, with), "")
		l := b.welcome(welcomeMessage())
		l.deliver("a", "b", "c", "d")
		l.outcomes(4)
		l.settled(1)
		l.settled(3)
		l.settled(3)
		b.end(l)
		expectDone(t, done, "a", "b", "c")
	}
}

func TestWhatIsNotAcceptedIsNotDone(t *testing.T) {
	var done []string
	b := newFakeBroker(t, newWorker(journaling(&done, false), nil, nil), "")
	l := b.welcome(welcomeMessage())
	l.deliver("reject", "retry", "release", "fail", "good")
	l.outcomes(5)
	l.settled(5)
	b.end(l)
	expectDone(t, done, "good")
}

func TestWhatTheBrokerRefusesIsNotDone(t *testing.T) {
	var done []string
	b := newFakeBroker(t, newWorker(journaling(&done, true), nil, nil), "")
	l := b.welcome(welcomeMessage())
	l.credit(100, 1<<20)
	l.deliver("a", "b", "c")
	l.outcomes(3)
	l.settled(1, 2) // a refusal may come before its outcome is confirmed
	l.settled(3)
	b.end(l)
	expectDone(t, done, "a", "c")
}

func TestARefusedWindowIsNamedByItsFirstRecord(t *testing.T) {
	var done []string
	w := newWorker(nil, nil, nil)
	w.bounds = Bounds{Records: 2}
	w.window = func(window *Window, out *Emitter) error {
		for _, record := range window.Records {
			text := string(record.Payload())
			record.OnConfirmed(func() error { done = append(done, text); return nil })
		}
		out.Emit(Output{})
		return nil
	}
	b := newFakeBroker(t, w, "")
	l := b.welcome(welcomeMessage())
	l.credit(100, 1<<20)
	l.deliver("a", "b", "c", "d")
	l.outcomes(4)
	l.settled(4, 1)
	b.end(l)
	expectDone(t, done, "c", "d")
}

func TestAnActionThatFailsIsShownAndEndsNothing(t *testing.T) {
	var done []string
	handler := func(r *Record, out *Emitter) error {
		text := string(r.Payload())
		r.OnConfirmed(func() error {
			switch text {
			case "error":
				return errors.New("the file is\x1b gone")
			case "panic":
				panic("boom")
			}
			done = append(done, text)
			return nil
		})
		return nil
	}
	b := newFakeBroker(t, newWorker(handler, nil, nil), "")
	l := b.welcome(welcomeMessage())
	l.deliver("error", "panic", "good")
	l.outcomes(3)
	l.settled(3)
	b.end(l)
	expectDone(t, done, "good")
	for _, text := range []string{"the file is? gone", "panicked: boom"} {
		if !strings.Contains(b.stderr.String(), text) {
			t.Fatalf("%q is missing: %s", text, b.stderr.String())
		}
	}
}

func TestWithoutABrokerNothingIsConfirmed(t *testing.T) {
	NewRecord(Output{}).OnConfirmed(func() error { t.Error("it is not durable"); return nil })
}
