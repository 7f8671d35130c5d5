package stagewire

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	pb "stagewire.dev/sdk/go/stagewirepb"
)

// serve handles records one by one until the session ends.
func (w *worker) serve(s *session) error {
	emitter := newEmitter(s.welcome, 4)
	for {
		record := s.next()
		if record == nil {
			return w.finish(s)
		}
		if s.stopping.Load() {
			if w.isSignalled() {
				return w.finish(s)
			}
			w.settle(s, record, releaseVerdict, nil)
			continue
		}
		s.working.Store(record.delivery)
		emitter.reset()
		failure := w.call(s, func() error { return w.handler(record, emitter) })
		if failure == nil {
			failure = emitter.check()
		}
		w.settle(s, record, failure, emitter)
	}
}

// settle says what became of one record. Without credit for it when this process is told to end, the
// record is not settled: Close(0) gives it back.
func (w *worker) settle(s *session, record *Record, failure *verdict, emitter *Emitter) {
	switch {
	case failure != nil:
		s.settler.settle([]span{{record.delivery, record.delivery}}, failure.outcome(), nil)
	case emitter.isEmpty():
		s.settler.accept(record.delivery)
	case s.reserve(emitter.charges):
		s.settler.settleOne(record.delivery, emitter.body)
	}
}

// serveBatches gives a sink what has arrived until the session ends.
func (w *worker) serveBatches(s *session) error {
	for {
		batch := s.nextBatch()
		if batch == nil {
			return w.finish(s)
		}
		s.take(batch)
		all := []span{{batch[0].delivery, batch[len(batch)-1].delivery}}
		if s.stopping.Load() {
			s.settler.settle(all, releaseVerdict.outcome(), nil)
			continue
		}
		records := make([]*Record, len(batch))
		for i := range batch {
			records[i] = &batch[i]
		}
		s.working.Store(batch[0].delivery)
		outcome := &pb.Outcome{Kind: pb.OutcomeKind_OUTCOME_KIND_ACCEPTED}
		if failure := w.call(s, func() error { return w.batch(records) }); failure != nil {
			outcome = failure.outcome()
		}
		s.settler.settle(all, outcome, nil)
	}
}

// finish is the end of serving: why the session ended, or our own Close after a signal.
func (w *worker) finish(s *session) error {
	if err := s.reason(); err != nil {
		return err
	}
	return s.leave("a signal ended this worker")
}

func (w *worker) isSignalled() bool {
	select {
	case <-w.stopped:
		return true
	default:
		return false
	}
}

// call runs a handler. A panic costs the record an attempt, not the process its life.
func (w *worker) call(s *session, handler func() error) (failure *verdict) {
	defer func() {
		if value := recover(); value != nil {
			failure = verdictOfPanic(value)
			w.show(fmt.Sprintf("the handler panicked: %v\n%s", value, debug.Stack()))
			s.endCall()
		}
	}()
	err := handler()
	isStopped := s.endCall() && s.stopping.Load()
	if err == nil {
		return nil
	}
	if isStopped && errors.Is(err, context.Canceled) {
		return releaseVerdict // it gave up because we asked: not the record's fault
	}
	failure, isOurs := verdictOf(err)
	if !isOurs {
		w.show("the handler failed: " + err.Error())
	}
	return failure
}

// show writes what went wrong in a handler, as long as it is not too often.
func (w *worker) show(message string) {
	w.errors++
	if w.errors <= shownErrors {
		w.say(message)
	}
	if w.errors == shownErrors {
		w.say("further failures of the handler are not shown")
	}
}
