package stagewire

import (
	"fmt"
	"strings"
	"testing"
	"time"

	pb "stagewire.dev/sdk/go/stagewirepb"
)

// workers are one of each kind of stage.
var workers = map[string]func() *worker{
	"transform": func() *worker { return newWorker(double, nil, nil) },
	"batch": func() *worker {
		w := newWorker(nil, nil, nil)
		w.batch = func([]*Record) error { return nil }
		return w
	},
	"window": func() *worker { return windowWorker(Bounds{Records: 3}, joining) },
	"source": func() *worker { return newWorker(nil, counting(5), nil) },
}

// What the broker sends against the rules ends the worker with 2, whoever started it: connecting again,
// unchanged, would lead to the same.
func TestABrokerThatSendsGarbageEndsTheWorkerWithTwo(t *testing.T) {
	offences := map[string]struct {
		bytes string
		code  Code
	}{
		"garbage":   {"\x00\x00\x00\x02\xff\xff", MalformedFrame},
		"no frame":  {"\x00\x00\x00\x00", MalformedFrame},
		"oversize":  {"\x7f\xff\xff\xff", FrameTooLarge},
		"too large": {"\x00\x04\x00\x01", FrameTooLarge}, // for this session, whose Welcome says 256 KiB
	}
	for kind, make := range workers {
		for name, offence := range offences {
			for _, token := range []string{"", "aa"} {
				t.Run(fmt.Sprint(kind, ", ", name, ", token ", token), func(t *testing.T) {
					b := newFakeBroker(t, make(), token)
					welcome := welcomeMessage()
					welcome.MaxFrame = 256 << 10
					if kind == "source" {
						welcome.Inputs = nil
					}
					l := b.welcome(welcome)
					_, _ = l.conn.Write([]byte(offence.bytes))
					e := l.expect(func(e *pb.Envelope) bool { return e.GetClose() != nil })
					if Code(e.GetClose().Code) != offence.code || e.GetClose().Message == "" {
						t.Fatalf("%v", e)
					}
					l.conn.Close()
					b.expectExit(2)
					if !strings.Contains(b.stderr.String(), offence.code.String()) {
						t.Fatal(b.stderr.String())
					}
				})
			}
		}
	}
}

func TestGarbageBeforeWelcome(t *testing.T) {
	for _, bytes := range []string{"\x00\x00\x00\x02\xff\xff", "\x00\x00\x00\x00", "\x7f\xff\xff\xff"} {
		b := newFakeBroker(t, newWorker(double, nil, nil), "aa")
		l, _ := b.accept()
		_, _ = l.conn.Write([]byte(bytes))
		if e := l.read(); e.GetClose().GetCode() == 0 {
			t.Fatalf("%v", e)
		}
		b.expectExit(2)
	}
}

func TestNothingIsBegunAfterGarbage(t *testing.T) {
	s := &seen{}
	started, finish := make(chan struct{}, 2), make(chan struct{})
	w := newWorker(func(r *Record, _ *Emitter) error {
		s.add(r)
		started <- struct{}{}
		<-finish
		return nil
	}, nil, nil)
	w.grace = 10 * time.Millisecond // this broker does not hang up
	b := newFakeBroker(t, w, "")
	l := b.welcome(welcomeMessage())
	l.deliver("a", "b")
	<-started
	_, _ = l.conn.Write([]byte("\x00\x00\x00\x02\xff\xff"))
	l.expect(func(e *pb.Envelope) bool { return e.GetClose() != nil })
	close(finish)
	if _, err := l.tryRead(); err == nil {
		t.Fatal("the Close is the last frame (EN-1)")
	}
	b.expectExit(2)
	s.expect(t, "a")
}

// The broker neither reads nor hangs up, and the handler does not return.
func TestAWorkerEndsWithTwoWhateverElseHangs(t *testing.T) {
	w := newWorker(func(*Record, *Emitter) error { select {} }, nil, []Option{Timeout(0)})
	w.grace = 10 * time.Millisecond
	b := newFakeBroker(t, w, "")
	l := b.welcome(welcomeMessage())
	l.deliver("a")
	l.barrier()
	_, _ = l.conn.Write([]byte("\x00\x00\x00\x02\xff\xff"))
	b.expectExit(2)

	w = newWorker(nil, func(source *Source) error {
		p, err := source.Claim("p")
		if err != nil {
			return err
		}
		return p.Emit([]Output{{Payload: make([]byte, 900_000)}}, nil) // more than a socket takes without a reader
	}, nil)
	w.grace = 10 * time.Millisecond
	b = newFakeBroker(t, w, "")
	l = b.welcome(sourceWelcome())
	l.expectClaim("p", 0, "")
	l.credit(1<<20, 1<<40)
	_, _ = l.conn.Read(make([]byte, 1)) // it has begun to write
	_, _ = l.conn.Write([]byte("\x00\x00\x00\x02\xff\xff"))
	b.expectExit(2)
}

// A signal that comes when the Close has been written does not make the end a clean one.
func TestASignalAfterGarbageChangesNothing(t *testing.T) {
	w := newWorker(double, nil, nil)
	b := newFakeBroker(t, w, "")
	l := b.welcome(welcomeMessage())
	_, _ = l.conn.Write([]byte("\x00\x00\x00\x02\xff\xff"))
	l.expect(func(e *pb.Envelope) bool { return e.GetClose() != nil })
	w.takeSignal(nil)
	l.conn.Close()
	b.expectExit(2)
}
