package stagewire

import (
	"fmt"
	"testing"
	"time"

	pb "stagewire.dev/sdk/go/stagewirepb"
)

func sourceWelcome() *pb.Welcome {
	w := welcomeMessage()
	w.Inputs = nil
	return w
}

func (l *link) expectClaim(partition string, last uint64, checkpoint string) {
	l.t.Helper()
	e := l.expect(func(e *pb.Envelope) bool { return e.GetClaim() != nil })
	if e.GetClaim().Partition != partition {
		l.t.Fatalf("%v", e)
	}
	l.send(&pb.Envelope{Message: &pb.Envelope_Claimed{Claimed: &pb.Claimed{Partition: partition, Epoch: 1, LastEmitId: last, Checkpoint: []byte(checkpoint)}}})
}

func (l *link) expectEmit(id uint64) *pb.Emit {
	l.t.Helper()
	emit := l.expect(func(e *pb.Envelope) bool { return e.GetEmit() != nil }).GetEmit()
	if emit.EmitId != id {
		l.t.Fatalf("emit %d, expected %d", emit.EmitId, id)
	}
	return emit
}

func (l *link) commit(partition string, through uint64, refused ...*pb.Refusal) {
	l.send(&pb.Envelope{Message: &pb.Envelope_Committed{Committed: &pb.Committed{Partition: partition, Through: through, Refused: refused}}})
}

// counting emits `n` records, one by one, from where its checkpoint says.
func counting(n int) func(*Source) error {
	return func(source *Source) error {
		p, err := source.Claim("p")
		if err != nil {
			return err
		}
		start := 0
		_, _ = fmt.Sscan(string(p.Checkpoint()), &start)
		for i := start; i < n; i++ {
			err := p.Emit([]Output{{Payload: []byte(fmt.Sprint(i))}}, []byte(fmt.Sprint(i+1)))
			if err != nil {
				return err
			}
		}
		return nil
	}
}

func TestASourceResumesAndFinishesWhenAllIsCommitted(t *testing.T) {
	b := newFakeBroker(t, newWorker(nil, counting(10), nil), "aa")
	l := b.welcome(sourceWelcome())
	l.expectClaim("p", 6, "7")
	l.credit(2, 100000)
	for id := uint64(7); id <= 8; id++ {
		emit := l.expectEmit(id)
		if string(emit.Emissions[0].Output.Payload) != fmt.Sprint(id) || string(emit.Checkpoint) != fmt.Sprint(id+1) {
			t.Fatalf("%v", emit)
		}
	}
	l.credit(3, 100000)
	l.expectEmit(9)
	l.commit("p", 8)
	l.send(&pb.Envelope{Message: &pb.Envelope_Ping{Ping: &pb.Ping{Nonce: 1}}})
	if e := l.read(); e.GetPong() == nil {
		t.Fatalf("before the last commit: %v", e)
	}
	l.commit("p", 9)
	if e := l.read(); e.GetFinished().GetPartition() != "p" {
		t.Fatalf("%v", e)
	}
	l.close(OK, "")
	b.expectExit(0)
}

func TestASourceSendsAgainWhatWasNotCommitted(t *testing.T) {
	b := newFakeBroker(t, newWorker(nil, counting(6), nil), "")
	l := b.welcome(sourceWelcome())
	l.expectClaim("p", 0, "")
	l.credit(4, 100000)
	for id := uint64(1); id <= 4; id++ {
		l.expectEmit(id)
	}
	l.commit("p", 1)
	l.conn.Close()

	l = b.welcome(sourceWelcome())
	l.expectClaim("p", 2, "2") // 2 was applied, its confirmation was lost
	l.credit(100, 100000)
	for id := uint64(3); id <= 6; id++ {
		if emit := l.expectEmit(id); string(emit.Emissions[0].Output.Payload) != fmt.Sprint(id-1) {
			t.Fatalf("%v", emit)
		}
	}
	l.commit("p", 6)
	l.expect(func(e *pb.Envelope) bool { return e.GetFinished() != nil })
	l.conn.Close()

	// Finished may have been lost as well: it is said again.
	l = b.welcome(sourceWelcome())
	l.expectClaim("p", 6, "6")
	l.expect(func(e *pb.Envelope) bool { return e.GetFinished() != nil })
	l.close(OK, "")
	b.expectExit(0)
}

func TestASourceThatIsStoppedWaitsForItsCommits(t *testing.T) {
	b := newFakeBroker(t, newWorker(nil, counting(1000), nil), "")
	l := b.welcome(sourceWelcome())
	l.expectClaim("p", 0, "")
	l.credit(1, 100000)
	l.expectEmit(1)
	l.send(&pb.Envelope{Message: &pb.Envelope_Drain{Drain: &pb.Drain{Reason: pb.DrainReason_DRAIN_REASON_SHUTDOWN, DeadlineMs: 10000}}})
	l.send(&pb.Envelope{Message: &pb.Envelope_Ping{Ping: &pb.Ping{Nonce: 1}}})
	if e := l.read(); e.GetPong() == nil {
		t.Fatalf("before the commit: %v", e)
	}
	l.credit(1000, 100000)
	l.commit("p", 1)
	if e := l.read(); e.GetClose() == nil || e.GetClose().Code != 0 {
		t.Fatalf("%v", e)
	}
	l.conn.Close()
	b.expectExit(0)
}

func TestASourceThatIsRefusedSaysSo(t *testing.T) {
	b := newFakeBroker(t, newWorker(nil, counting(3), nil), "")
	l := b.welcome(sourceWelcome())
	l.expectClaim("p", 0, "")
	l.credit(1, 100000)
	l.expectEmit(1)
	l.commit("p", 1, &pb.Refusal{Id: 1, Error: &pb.Error{Code: uint32(InvalidOutput), Message: "a key of 2000 bytes"}})
	b.expectExit(1)
}

func TestABrokerThatForgotIsNotBelieved(t *testing.T) {
	b := newFakeBroker(t, newWorker(nil, counting(3), nil), "")
	l := b.welcome(sourceWelcome())
	l.expectClaim("p", 0, "")
	l.credit(2, 100000)
	l.expectEmit(1)
	l.expectEmit(2)
	l.commit("p", 2)
	l.send(&pb.Envelope{Message: &pb.Envelope_Ping{Ping: &pb.Ping{Nonce: 1}}})
	l.read()
	l.conn.Close()
	l = b.welcome(sourceWelcome())
	l.expectClaim("p", 0, "")
	b.expectExit(1)
}

func TestEmitRefusesWhatCouldNeverFit(t *testing.T) {
	errs := make(chan error, 3)
	b := newFakeBroker(t, newWorker(nil, func(source *Source) error {
		p, err := source.Claim("p")
		if err != nil {
			return err
		}
		errs <- p.Emit([]Output{{Payload: make([]byte, 1<<20)}}, nil)
		errs <- p.Emit(make([]Output, 4097), nil)
		errs <- p.Emit(nil, make([]byte, maxCheckpoint+1))
		return nil
	}, nil), "")
	l := b.welcome(sourceWelcome())
	l.expectClaim("p", 0, "")
	for i := 0; i < 3; i++ {
		select {
		case err := <-errs:
			if err == nil {
				t.Fatal(i)
			}
		case <-time.After(patience):
			t.Fatal("Emit waits for what can never come")
		}
	}
	l.expect(func(e *pb.Envelope) bool { return e.GetFinished() != nil })
	l.close(OK, "")
	b.expectExit(0)
}

func TestAnInstanceWithoutWorkFinishesAPartitionOfItsOwnName(t *testing.T) {
	b := newFakeBroker(t, newWorker(nil, func(*Source) error { return nil }, nil), "")
	l := b.welcome(sourceWelcome())
	l.expectClaim("double-1", 0, "")
	if e := l.read(); e.GetFinished().GetPartition() != "double-1" {
		t.Fatalf("%v", e)
	}
	l.close(OK, "")
	b.expectExit(0)
}

func TestADrainWithoutDeadlineWaitsForTheCommits(t *testing.T) {
	b := newFakeBroker(t, newWorker(nil, counting(1000), nil), "")
	l := b.welcome(sourceWelcome())
	l.expectClaim("p", 0, "")
	l.credit(1, 100000)
	l.expectEmit(1)
	l.send(&pb.Envelope{Message: &pb.Envelope_Drain{Drain: &pb.Drain{Reason: 99}}}) // unknown: as a shutdown
	l.send(&pb.Envelope{Message: &pb.Envelope_Ping{Ping: &pb.Ping{Nonce: 1}}})
	if e := l.read(); e.GetPong() == nil {
		t.Fatalf("before the commit: %v", e)
	}
	l.commit("p", 1)
	if e := l.read(); e.GetClose() == nil {
		t.Fatalf("%v", e)
	}
	l.conn.Close()
	b.expectExit(0)
}
