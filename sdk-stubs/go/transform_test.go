package stagewire

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	pb "stagewire.dev/sdk/go/stagewirepb"
)

func double(r *Record, out *Emitter) error {
	out.Emit(Output{Key: r.Key(), Payload: append(append([]byte{}, r.Payload()...), r.Payload()...)})
	return nil
}

func TestHelloSaysWhoWeAreAndTheTokenIsForgotten(t *testing.T) {
	t.Setenv("STAGEWIRE_TOKEN", "beef")
	b := newFakeBroker(t, newWorker(double, nil, []Option{Version("1.2")}), "beef")
	l, hello := b.accept()
	if hello.Stage != "double" || hello.Instance != "double-1" || hello.StageVersion != "1.2" || hello.Language != "go" ||
		string(hello.Token) != "\xbe\xef" || hello.MinVersion != 1000 || hello.MaxVersion != 1000 || hello.MaxFrame != defaultFrame {
		t.Fatalf("%v", hello)
	}
	if _, isSet := os.LookupEnv("STAGEWIRE_TOKEN"); isSet {
		t.Fatal("STAGEWIRE_TOKEN would be inherited by children")
	}
	l.greet(welcomeMessage())
	if l.grantR == 0 || l.grantB < 1<<20 {
		t.Fatalf("an empty queue has to leave room for a record of max_record: %d", l.grantB)
	}
	l.close(OK, "")
	b.expectExit(0)
}

func TestEveryKindOfOutcome(t *testing.T) {
	handler := func(r *Record, out *Emitter) error {
		switch string(r.Payload()) {
		case "two":
			out.Emit(Output{Payload: []byte("a")})
			out.Emit(Output{Payload: []byte("b"), Key: []byte("other"), Attributes: []Attribute{Flag("f", false)}})
		case "reject":
			out.Emit(Output{Payload: []byte("must not be sent")})
			return Reject(1001, "never")
		case "retry":
			return fmt.Errorf("wrapped: %w", Retry(1500*time.Microsecond, "later"))
		case "release":
			return Release()
		case "error":
			return errors.New("oops")
		case "panic":
			panic("boom")
		case "port":
			out.Emit(Output{Port: "nowhere"})
		case "large":
			out.Emit(Output{Payload: make([]byte, 1<<20)})
		case "step":
			for i := 0; i < 4097; i++ {
				out.Emit(Output{})
			}
		}
		return nil
	}
	b := newFakeBroker(t, newWorker(handler, nil, nil), "")
	l := b.welcome(welcomeMessage())
	l.credit(100, 1<<20)
	l.deliver("two", "reject", "retry", "release", "error", "panic", "port", "large", "step", "drop", "drop")
	got := l.outcomes(11)
	expected := []struct {
		kind pb.OutcomeKind
		code Code
		text string
	}{
		{pb.OutcomeKind_OUTCOME_KIND_ACCEPTED, 0, ""}, {pb.OutcomeKind_OUTCOME_KIND_REJECTED, 1001, "never"},
		{pb.OutcomeKind_OUTCOME_KIND_RETRY, 1000, "later"}, {pb.OutcomeKind_OUTCOME_KIND_RELEASED, 0, ""},
		{pb.OutcomeKind_OUTCOME_KIND_RETRY, 1000, "oops"}, {pb.OutcomeKind_OUTCOME_KIND_RETRY, 1000, "panic: boom"},
		{pb.OutcomeKind_OUTCOME_KIND_REJECTED, InvalidOutput, "nowhere"}, {pb.OutcomeKind_OUTCOME_KIND_REJECTED, OutputTooLarge, "max_record"},
		{pb.OutcomeKind_OUTCOME_KIND_REJECTED, StepTooLarge, "4097 records"},
		{pb.OutcomeKind_OUTCOME_KIND_ACCEPTED, 0, ""}, {pb.OutcomeKind_OUTCOME_KIND_ACCEPTED, 0, ""},
	}
	for i, e := range expected {
		o := got[uint64(i+1)]
		if o.Kind != e.kind || Code(o.GetError().GetCode()) != e.code || !strings.Contains(o.GetError().GetMessage(), e.text) {
			t.Errorf("delivery %d: %v", i+1, o)
		}
		if i > 0 && len(o.Emissions) != 0 {
			t.Errorf("delivery %d emits: %v", i+1, o)
		}
	}
	if got[3].DelayMs != 2 {
		t.Errorf("a delay rounds up: %v", got[3])
	}
	if two := got[1].Emissions; len(two) != 2 || string(two[0].Output.Payload) != "a" || string(two[1].Output.Header.Key) != "other" {
		t.Errorf("emissions: %v", two)
	}
	if got[10] != got[11] {
		t.Error("neighbouring acceptances without emissions should be one outcome")
	}
	l.close(OK, "")
	b.expectExit(0)
}

func TestSettlesWaitForCreditAndAreSplitToFit(t *testing.T) {
	b := newFakeBroker(t, newWorker(double, nil, nil), "")
	l := b.welcome(welcomeMessage())
	l.deliver("aaaaaaaaaa", "bbbbbbbbbb", "cccccccccc", "dddddddddd", "eeeeeeeeee")
	// Without credit nothing may come; Ping is answered nevertheless, and is a barrier.
	l.send(&pb.Envelope{Message: &pb.Envelope_Ping{Ping: &pb.Ping{Nonce: 7}}})
	if pong := l.read().GetPong(); pong.GetNonce() != 7 {
		t.Fatal("no Pong at zero credit")
	}
	size := uint64(500 + 27) // output: header 2+3, payload 2+20, and the reserve
	for settled := 1; settled <= 5; settled += 2 {
		l.credit(uint64(settled), 5*size)
		l.outcomes(settled)
		if len(l.settledOutcomes) != settled {
			t.Fatalf("%d outcomes under a limit of %d records", len(l.settledOutcomes), settled)
		}
	}
	// A limit that does not grow changes nothing; bytes bind as records do.
	l.deliver("ffffffffff", "gggggggggg")
	l.send(&pb.Envelope{Message: &pb.Envelope_Credit{Credit: &pb.Credit{Records: 1, Bytes: 1}}})
	l.credit(100, 5*size+size-1)
	l.credit(100, 6*size)
	l.outcomes(6)
	l.credit(100, 7*size)
	l.outcomes(7)
	if l.usedB != 7*size {
		t.Fatalf("charged %d, expected %d", l.usedB, 7*size)
	}
	l.close(OK, "")
	b.expectExit(0)
}

func TestHeartbeatsAndLeasesUnderALongHandler(t *testing.T) {
	release := make(chan struct{})
	b := newFakeBroker(t, newWorker(func(r *Record, out *Emitter) error {
		if string(r.Payload()) == "slow" {
			<-release
		}
		return nil
	}, nil, nil), "")
	welcome := welcomeMessage()
	welcome.LeaseMs = 90
	l := b.welcome(welcome)
	l.deliver("quick", "slow")
	// What the handler has finished does not wait for what it is doing.
	if got := l.outcomes(1); got[1] == nil {
		t.Fatal("the finished delivery was not settled")
	}
	l.send(&pb.Envelope{Message: &pb.Envelope_Ping{Ping: &pb.Ping{Nonce: 9}}})
	l.expect(func(e *pb.Envelope) bool { return e.GetPong().GetNonce() == 9 })
	l.expect(func(e *pb.Envelope) bool { return e.GetExtend() != nil })
	l.expect(func(e *pb.Envelope) bool { return e.GetExtend() != nil })
	close(release)
	l.outcomes(2)
	l.close(OK, "")
	b.expectExit(0)
}

func TestInputCreditIsToppedUpByHalves(t *testing.T) {
	b := newFakeBroker(t, newWorker(func(r *Record, out *Emitter) error { return nil }, nil, nil), "")
	l := b.welcome(welcomeMessage())
	grants, sent := 0, uint64(0)
	payload := strings.Repeat("x", 100_000)
	for n := 0; n < 200; n++ {
		size := uint64(len(payload)) + 5 + 4 // header 2+3, payload tag and length 4
		for sent+size > l.grantB {
			l.expect(func(e *pb.Envelope) bool { return e.GetCredit() != nil })
			grants++
		}
		sent += size
		l.deliver(payload)
	}
	l.outcomes(200)
	if grants == 0 || grants > 12 {
		t.Fatalf("20 MB through a window of 4 MiB took %d grants", grants)
	}
	l.close(OK, "")
	b.expectExit(0)
}

func TestABrokerThatOvershootsIsToldSo(t *testing.T) {
	block := make(chan struct{})
	b := newFakeBroker(t, newWorker(func(r *Record, out *Emitter) error { <-block; return nil }, nil, nil), "")
	l := b.welcome(welcomeMessage())
	for i := 0; i < 5; i++ {
		l.deliver(strings.Repeat("x", 1<<20))
	}
	e := l.expect(func(e *pb.Envelope) bool { return e.GetClose() != nil })
	if Code(e.GetClose().Code) != CreditExceeded {
		t.Fatalf("%v", e)
	}
	close(block)
	l.conn.Close()
	b.expectExit(2)
}

func TestShutdownReleasesWhatHasNotBegun(t *testing.T) {
	started, finish := make(chan struct{}), make(chan struct{})
	b := newFakeBroker(t, newWorker(func(r *Record, out *Emitter) error {
		close(started)
		<-finish
		return nil
	}, nil, nil), "")
	l := b.welcome(welcomeMessage())
	l.deliver("a", "b", "c")
	<-started
	l.send(&pb.Envelope{Message: &pb.Envelope_Drain{Drain: &pb.Drain{Reason: pb.DrainReason_DRAIN_REASON_SHUTDOWN, DeadlineMs: 10000}}})
	l.send(&pb.Envelope{Message: &pb.Envelope_Ping{Ping: &pb.Ping{Nonce: 1}}})
	l.expect(func(e *pb.Envelope) bool { return e.GetPong() != nil })
	close(finish)
	got := l.outcomes(3)
	if got[1].Kind != pb.OutcomeKind_OUTCOME_KIND_ACCEPTED || got[2].Kind != pb.OutcomeKind_OUTCOME_KIND_RELEASED || got[3].Kind != pb.OutcomeKind_OUTCOME_KIND_RELEASED {
		t.Fatalf("%v", got)
	}
	l.close(OK, "")
	b.expectExit(0)
}

func TestInputEndedGoesOn(t *testing.T) {
	b := newFakeBroker(t, newWorker(double, nil, nil), "")
	l := b.welcome(welcomeMessage())
	l.credit(10, 10000)
	l.send(&pb.Envelope{Message: &pb.Envelope_Drain{Drain: &pb.Drain{Reason: pb.DrainReason_DRAIN_REASON_INPUT_ENDED}}})
	l.deliver("a")
	if got := l.outcomes(1); got[1].Kind != pb.OutcomeKind_OUTCOME_KIND_ACCEPTED {
		t.Fatalf("%v", got)
	}
	l.close(OK, "")
	b.expectExit(0)
}

func TestEndings(t *testing.T) {
	t.Run("refused for good", func(t *testing.T) {
		b := newFakeBroker(t, newWorker(double, nil, nil), "")
		l, _ := b.accept()
		l.close(UnknownStage, "there is no stage double; did you mean treble?")
		b.expectExit(2)
		if !strings.Contains(b.stderr.String(), "did you mean treble?") {
			t.Fatal(b.stderr.String())
		}
	})
	t.Run("refused by another major", func(t *testing.T) {
		b := newFakeBroker(t, newWorker(double, nil, nil), "")
		l, _ := b.accept()
		// version 2000 and close{code: 102, message: "speak 2"}
		_, _ = l.conn.Write([]byte("\x00\x00\x00\x10\x08\xd0\x0f\x22\x0b\x08\x66\x12\x07speak 2"))
		b.expectExit(2)
		if !strings.Contains(b.stderr.String(), "speak 2") {
			t.Fatal(b.stderr.String())
		}
	})
	t.Run("refused for now", func(t *testing.T) {
		b := newFakeBroker(t, newWorker(double, nil, nil), "aa")
		l, _ := b.accept()
		l.close(DuplicateInstance, "double-1 is attached")
		l = b.welcome(welcomeMessage())
		l.close(OK, "")
		b.expectExit(0)
	})
	t.Run("EOF, started by the host", func(t *testing.T) {
		b := newFakeBroker(t, newWorker(double, nil, nil), "aa")
		b.welcome(welcomeMessage()).conn.Close()
		b.expectExit(1)
	})
	t.Run("EOF, external", func(t *testing.T) {
		b := newFakeBroker(t, newWorker(double, nil, nil), "")
		b.welcome(welcomeMessage()).conn.Close()
		l := b.welcome(welcomeMessage())
		l.credit(10, 10000)
		l.deliver("again")
		l.outcomes(1)
		l.close(OK, "")
		b.expectExit(0)
	})
	t.Run("garbage", func(t *testing.T) {
		b := newFakeBroker(t, newWorker(double, nil, nil), "")
		l := b.welcome(welcomeMessage())
		_, _ = l.conn.Write([]byte("\x00\x00\x00\x02\xff\xff"))
		if e := l.expect(func(e *pb.Envelope) bool { return e.GetClose() != nil }); Code(e.GetClose().Code) != MalformedFrame {
			t.Fatalf("%v", e)
		}
		l.conn.Close()
		b.expectExit(2)
	})
	t.Run("no socket", func(t *testing.T) {
		var stderr strings.Builder
		if code := newWorker(double, nil, nil).main(func(string) string { return "" }, &stderr); code != 2 || !strings.Contains(stderr.String(), "STAGEWIRE_SOCKET") {
			t.Fatal(code, stderr.String())
		}
	})
}

func TestConfigurationIsTyped(t *testing.T) {
	var config struct{ Threshold float64 }
	b := newFakeBroker(t, newWorker(func(r *Record, out *Emitter) error {
		out.Emit(Output{Payload: []byte(fmt.Sprint(config.Threshold))})
		return nil
	}, nil, []Option{Config(&config)}), "")
	welcome := welcomeMessage()
	welcome.Config = []byte(`{"threshold": 3.5}`)
	l := b.welcome(welcome)
	l.credit(10, 10000)
	l.deliver("x")
	if got := l.outcomes(1); string(got[1].Emissions[0].Output.Payload) != "3.5" {
		t.Fatalf("%v", got)
	}
	l.close(OK, "")
	b.expectExit(0)

	b = newFakeBroker(t, newWorker(double, nil, []Option{Config(&config)}), "")
	l, _ = b.accept()
	welcome.Config = []byte(`{"threshold": "high"}`)
	l.send(&pb.Envelope{Message: &pb.Envelope_Welcome{Welcome: welcome}})
	b.expectExit(2)
	if !strings.Contains(strings.ToLower(b.stderr.String()), "threshold") {
		t.Fatal(b.stderr.String())
	}
}
