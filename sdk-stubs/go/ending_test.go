package stagewire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "stagewire.dev/sdk/go/stagewirepb"
)

func TestABatchSinkGetsWhatHasArrived(t *testing.T) {
	w := newWorker(nil, nil, nil)
	w.batch = func(records []*Record) error {
		if len(records) == 2 {
			return errors.New("disk full")
		}
		return nil
	}
	b := newFakeBroker(t, w, "")
	l := b.welcome(welcomeMessage())
	l.deliver("a", "b", "c")
	l.deliver("d", "e")
	got := l.outcomes(5)
	if got[1] != got[3] || got[1].Kind != pb.OutcomeKind_OUTCOME_KIND_ACCEPTED || got[4] != got[5] || got[5].Kind != pb.OutcomeKind_OUTCOME_KIND_RETRY {
		t.Fatalf("%v", got)
	}
	l.drain(pb.DrainReason_DRAIN_REASON_SHUTDOWN)
	l.deliver("f", "g")
	if got := l.outcomes(7); got[6].Kind != pb.OutcomeKind_OUTCOME_KIND_RELEASED {
		t.Fatalf("%v", got)
	}
	b.end(l)
	if !strings.Contains(b.stderr.String(), "disk full") {
		t.Fatal(b.stderr.String())
	}
}

func TestASignalFinishesWhatIsAtHand(t *testing.T) {
	started, finish := make(chan struct{}), make(chan struct{})
	w := newWorker(func(r *Record, out *Emitter) error {
		started <- struct{}{}
		<-finish
		return nil
	}, nil, nil)
	b := newFakeBroker(t, w, "aa")
	l := b.welcome(welcomeMessage())
	l.deliver("a", "b", "c")
	<-started
	w.signals <- syscall.SIGTERM
	for !w.isSignalled() {
		time.Sleep(time.Millisecond)
	}
	close(finish)
	e := l.expect(func(e *pb.Envelope) bool { return e.GetClose() != nil })
	if e.GetClose().Code != 0 || len(l.settledOutcomes) != 1 || l.settledOutcomes[0].First != 1 || l.settledOutcomes[0].Last != 0 {
		t.Fatalf("%v, then %v", l.settledOutcomes, e)
	}
	l.conn.Close()
	b.expectExit(0)
}

func TestASignalEndsTheWaitForCreditAndForTheBroker(t *testing.T) {
	w := newWorker(double, nil, nil)
	b := newFakeBroker(t, w, "")
	l := b.welcome(welcomeMessage())
	l.deliver("a")
	l.send(&pb.Envelope{Message: &pb.Envelope_Ping{Ping: &pb.Ping{Nonce: 1}}})
	l.expect(func(e *pb.Envelope) bool { return e.GetPong() != nil })
	w.signals <- syscall.SIGTERM
	if e := l.read(); e.GetClose() == nil {
		t.Fatalf("%v", e)
	}
	l.conn.Close()
	b.expectExit(0)

	w = newWorker(double, nil, nil)
	exit := make(chan int)
	go func() {
		exit <- w.main(func(name string) string {
			return map[string]string{"STAGEWIRE_SOCKET": filepath.Join(t.TempDir(), "none"), "STAGEWIRE_STAGE": "double"}[name]
		}, &strings.Builder{})
	}()
	w.signals <- syscall.SIGTERM
	if code := <-exit; code != 0 {
		t.Fatal(code)
	}
}

func TestASecondSignalEndsTheProcess(t *testing.T) {
	started := make(chan struct{})
	w := newWorker(func(r *Record, out *Emitter) error {
		close(started)
		select {}
	}, nil, nil)
	b := newFakeBroker(t, w, "")
	l := b.welcome(welcomeMessage())
	l.deliver("a")
	<-started
	w.signals <- syscall.SIGTERM
	w.signals <- syscall.SIGTERM
	b.expectExit(128 + 15)
}

func TestASourceEndsBySignalWhenItsEmitsAreCommitted(t *testing.T) {
	w := newWorker(nil, counting(1000), nil)
	b := newFakeBroker(t, w, "")
	l := b.welcome(sourceWelcome())
	l.expectClaim("p", 0, "")
	l.credit(1, 100000)
	l.expectEmit(1)
	w.signals <- syscall.SIGTERM
	l.commit("p", 1)
	if e := l.read(); e.GetClose() == nil {
		t.Fatalf("%v", e)
	}
	l.conn.Close()
	b.expectExit(0)
}

func TestTheContextOfAHandlerEnds(t *testing.T) {
	contexts := make(chan context.Context, 3)
	handler := func(r *Record, out *Emitter) error {
		contexts <- r.Context()
		if string(r.Payload()) == "wait" {
			<-r.Context().Done()
			return fmt.Errorf("gave up: %w", r.Context().Err())
		}
		return nil
	}
	w := newWorker(handler, nil, []Option{Timeout(time.Hour)})
	b := newFakeBroker(t, w, "")
	l := b.welcome(welcomeMessage())
	l.deliver("quick", "wait")
	if first, second := <-contexts, <-contexts; first.Err() == nil || second.Err() != nil {
		t.Fatal("a context ends when its handler returns")
	}
	l.drain(pb.DrainReason_DRAIN_REASON_SHUTDOWN)
	if got := l.outcomes(2); got[2].Kind != pb.OutcomeKind_OUTCOME_KIND_RELEASED {
		t.Fatalf("who gives up because the worker stops has not failed: %v", got[2])
	}
	b.end(l)

	b = newFakeBroker(t, newWorker(handler, nil, []Option{Timeout(10 * time.Millisecond)}), "")
	l = b.welcome(welcomeMessage())
	l.deliver("wait")
	if got := l.outcomes(1); got[1].Kind != pb.OutcomeKind_OUTCOME_KIND_RETRY || !strings.Contains(got[1].Error.Message, "deadline") {
		t.Fatalf("%v", got[1])
	}
	b.end(l)
}

func TestAHandlerThatNeverReturnsLosesItsLease(t *testing.T) {
	for _, c := range []struct {
		token string
		code  int
	}{{"aa", 1}, {"", 1}} {
		w := newWorker(func(r *Record, out *Emitter) error { select {} }, nil, []Option{Timeout(100 * time.Millisecond)})
		w.grace = 10 * time.Millisecond
		b := newFakeBroker(t, w, c.token)
		welcome := welcomeMessage()
		welcome.LeaseMs = 90
		l := b.welcome(welcome)
		l.deliver("a")
		begin, extends := time.Now(), 0
		// The broker expires the lease when nothing has come for so long; pings do not count.
		for {
			_ = l.conn.SetReadDeadline(time.Now().Add(3 * time.Duration(welcome.LeaseMs) * time.Millisecond))
			e, err := l.tryRead()
			if err != nil {
				break
			}
			if e.GetExtend() != nil {
				extends++
			}
		}
		if extends == 0 || extends > 4 || time.Since(begin) > patience {
			t.Fatalf("%d Extends in a handler that may take three of them", extends)
		}
		l.close(LeaseExpired, "the lease has expired")
		b.expectExit(c.code)
		if text := b.stderr.String(); !strings.Contains(text, "not renewed") || !strings.Contains(text, "the lease has expired") {
			t.Fatal(text)
		}
	}
}

func TestTheTimeAHandlerTakesIsNeverUnderestimated(t *testing.T) {
	begin := time.Unix(0, 0)
	watch := callWatch{timeout: 25 * time.Second, tick: begin}
	for _, look := range []struct {
		second   int
		delivery uint64
		isOver   bool
		isNews   bool
	}{{10, 1, false, false}, {20, 1, false, false}, {30, 1, true, true}, {40, 1, true, false}, {50, 2, false, false}, {60, 0, false, false}, {90, 3, true, true}} {
		isOver, isNews := watch.isOverdue(look.delivery, begin.Add(time.Duration(look.second)*time.Second))
		if isOver != look.isOver || isNews != look.isNews {
			t.Fatalf("%+v: %v %v", look, isOver, isNews)
		}
	}
	if isOver, _ := (&callWatch{}).isOverdue(1, begin.Add(time.Hour)); isOver {
		t.Fatal("0 is no limit")
	}
}

func TestABrokerThatIsAbsentAtTheStartIsAwaited(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	w := newWorker(double, nil, nil)
	exit := make(chan int, 1)
	var stderr strings.Builder
	go func() {
		exit <- w.main(func(name string) string {
			return map[string]string{"STAGEWIRE_SOCKET": path, "STAGEWIRE_STAGE": "double"}[name]
		}, &stderr)
	}()
	for isSaid := false; !isSaid; time.Sleep(time.Millisecond) {
		w.said.Lock()
		isSaid = stderr.Len() > 0
		w.said.Unlock()
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	b := &fakeBroker{t: t, listener: listener, exit: exit}
	b.end(b.welcome(welcomeMessage()))
	if strings.Count(stderr.String(), "trying again") != 1 {
		t.Fatal("one outage, one sentence: ", stderr.String())
	}

	w = newWorker(double, nil, nil)
	code := w.main(func(name string) string {
		return map[string]string{"STAGEWIRE_SOCKET": path + "-none", "STAGEWIRE_STAGE": "double", "STAGEWIRE_TOKEN": "aa"}[name]
	}, &stderr)
	if code != 1 {
		t.Fatal("a worker that the host started does not outlive its broker: ", code)
	}
}

// Behind our Close the broker is heard out, so that what it sends meanwhile does not cost it our Close.
func TestACloseInTheHandshakeIsDelivered(t *testing.T) {
	b := newFakeBroker(t, newWorker(double, nil, nil), "aa")
	l, _ := b.accept()
	welcome := welcomeMessage()
	welcome.Version = 1999
	l.send(&pb.Envelope{Message: &pb.Envelope_Welcome{Welcome: welcome}})
	for i := 0; i < 1000; i++ { // fails when the worker has hung up
		l.send(&pb.Envelope{Message: &pb.Envelope_Credit{Credit: &pb.Credit{Records: 1, Bytes: 1}}})
	}
	if closed := l.read().GetClose(); closed == nil || Code(closed.Code) != UnsupportedVersion {
		t.Fatalf("%v", closed)
	}
	l.conn.Close()
	b.expectExit(2)
}

func TestTextThatIsNotUTF8IsRejectedHere(t *testing.T) {
	bad := "a\xffb"
	outputs := map[string]Output{
		"schema": {Schema: bad}, "content type": {ContentType: bad}, "attribute": {Attributes: []Attribute{Text("x", bad)}},
		"attribute that": {Attributes: []Attribute{Flag(bad, true)}}, "a key of 1025 bytes": {Key: make([]byte, 1025)},
		"65 attributes": {Attributes: make([]Attribute, 65)}, "a header of": {Schema: strings.Repeat("x", 17000)},
	}
	b := newFakeBroker(t, newWorker(func(r *Record, out *Emitter) error {
		out.Emit(outputs[string(r.Payload())])
		return nil
	}, nil, nil), "")
	l := b.welcome(welcomeMessage())
	l.credit(100, 1<<20)
	for name := range outputs {
		l.deliver(name)
		delivery := l.next - 1
		o := l.outcomes(int(delivery))[delivery]
		if o.Kind != pb.OutcomeKind_OUTCOME_KIND_REJECTED || Code(o.Error.Code) != InvalidOutput || !strings.Contains(o.Error.Message, name) {
			t.Errorf("%s: %v", name, o)
		}
	}
	b.end(l)
}

func TestErrorsWithInvalidTextArriveReadable(t *testing.T) {
	b := newFakeBroker(t, newWorker(func(r *Record, out *Emitter) error { return Reject(1001, "a\xffb") }, nil, nil), "")
	l := b.welcome(welcomeMessage())
	l.deliver("x")
	if o := l.outcomes(1)[1]; o.Error.Message != "a?b" {
		t.Fatalf("%v", o)
	}
	b.end(l)
}

func TestConfigurationErrorsNameTheField(t *testing.T) {
	type settings struct {
		Threshold float64
		Count     int `json:"count"`
		Tags      []string
		Inner     struct{ Name string }
	}
	for document, sentence := range map[string]string{
		`{"threshold": "high"}`:  "config.threshold: expected a number, got string",
		`{"count": 1.5}`:         "config.count: expected an integer, got number 1.5",
		`{"tags": "a"}`:          "config.tags: expected a list, got string",
		`{"inner": {"name": 1}}`: "config.inner.name: expected a text, got number",
		`{"treshold": 1}`:        "config.treshold: not known to this stage; it knows threshold, count, tags, inner",
		`[1]`:                    "config: expected a mapping, got array",
		`{`:                      "config: unexpected EOF",
		`{"count": -1}`:          "config: count is negative",
	} {
		target := &validated[settings]{check: func(s *settings) error {
			if s.Count < 0 {
				return errors.New("count is negative")
			}
			return nil
		}}
		b := newFakeBroker(t, newWorker(double, nil, []Option{Config(target)}), "")
		l, _ := b.accept()
		welcome := welcomeMessage()
		welcome.Config = []byte(document)
		l.send(&pb.Envelope{Message: &pb.Envelope_Welcome{Welcome: welcome}})
		b.expectExit(2)
		if !strings.Contains(b.stderr.String(), sentence) {
			t.Errorf("%s: %s", document, b.stderr.String())
		}
	}
}

// validated decodes into a T and asks a function about it.
type validated[T any] struct {
	value T
	check func(*T) error
}

func (v *validated[T]) UnmarshalJSON(document []byte) error {
	if err := decodeConfig(document, &v.value); err != nil {
		return err
	}
	return nil
}

func (v *validated[T]) Validate() error { return v.check(&v.value) }

// drip writes one byte at a time.
type drip struct{ net.Conn }

func (d drip) Write(b []byte) (int, error) {
	for i := range b {
		if _, err := d.Conn.Write(b[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(b), nil
}

func TestFramesInPiecesAndUnknownFieldsAndKinds(t *testing.T) {
	b := newFakeBroker(t, newWorker(double, nil, nil), "")
	l, _ := b.accept()
	l.conn = drip{l.conn}
	welcome := welcomeMessage()
	welcome.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 999, protowire.VarintType), 7))
	unknownKind := &pb.Envelope{Version: 1000}
	unknownKind.ProtoReflect().SetUnknown(protowire.AppendBytes(protowire.AppendTag(nil, 1500, protowire.BytesType), []byte("news")))
	l.send(unknownKind)
	l.greet(welcome)
	l.credit(10, 10000)
	l.send(unknownKind)
	record := &pb.Record{Payload: []byte("ab")}
	record.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 1000, protowire.VarintType), 1))
	l.send(&pb.Envelope{Message: &pb.Envelope_Deliver{Deliver: &pb.Deliver{FirstDelivery: 1, Records: []*pb.Record{record}}}})
	if got := payloads(l.outcomes(1)[1]); len(got) != 1 || got[0] != "abab" {
		t.Fatalf("%v", got)
	}
	b.end(l)
}

func TestWhatTheBrokerRefusedIsSaid(t *testing.T) {
	b := newFakeBroker(t, newWorker(double, nil, nil), "")
	l, hello := b.accept()
	if !proto.Equal(&pb.Hello{Offered: hello.Offered}, &pb.Hello{Offered: []string{"settle-confirm"}}) {
		t.Fatalf("%v", hello)
	}
	l.greet(welcomeMessage())
	l.send(&pb.Envelope{Message: &pb.Envelope_Settled{Settled: &pb.Settled{Through: 3, Refused: []*pb.Refusal{
		{Id: 3, Error: &pb.Error{Code: 306, Message: "a key of\x1b 2000 bytes"}}}}}})
	b.end(l)
	if text := b.stderr.String(); !strings.Contains(text, "refused what delivery 3 emitted") || !strings.Contains(text, "key of? 2000") {
		t.Fatal(text)
	}
}
