package stagewire

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
)

// serve handles records one by one until the session ends.
func (w *worker) serve(s *session) error {
	emitter := newEmitter(s.welcome, 4)
	for {
		record := s.next()
		if record == nil {
			return w.finish(s)
		}
		if s.isVoid(record) {
			s.releaseVoid(record)
			continue
		}
		if s.stopping.Load() {
			if w.isSignalled() || s.reason() != nil {
				return w.finish(s)
			}
			w.settle(s, &s.main, record, releaseVerdict, nil)
			continue
		}
		w.handle(s, record, emitter)
	}
}

// handle gives one record to the handler, and settles it.
func (w *worker) handle(s *session, record *Record, emitter *Emitter) {
	s.main.working.Store(record.delivery)
	emitter.reset()
	failure := w.call(s, &s.main, func() error { return w.handler(record, emitter) })
	if failure == nil {
		failure = emitter.check()
	}
	w.settle(s, &s.main, record, failure, emitter)
}

// settle says what became of one record. Without credit for it when this process is told to end, the
// record is not settled: Close(0) gives it back.
func (w *worker) settle(s *session, c *caller, record *Record, failure *verdict, emitter *Emitter) {
	switch {
	case failure != nil:
		s.settle([]*Record{record}, failure)
	case emitter.isEmpty():
		s.settler.accept(record.delivery)
	case s.reserve(c, emitter.charges):
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
		records := s.sortOut(batch)
		if len(records) == 0 {
			continue
		}
		if s.stopping.Load() {
			s.settle(records, releaseVerdict)
			continue
		}
		s.main.working.Store(records[0].delivery)
		// A copy: the handler may do with its list what it likes.
		failure := w.call(s, &s.main, func() error { return w.batch(append([]*Record(nil), records...)) })
		if failure == nil {
			failure = acceptVerdict
		}
		s.settle(records, failure)
	}
}

// sortOut is a batch without what is void, which it settles.
func (s *session) sortOut(batch []Record) []*Record {
	records := make([]*Record, 0, len(batch))
	for i := range batch {
		if s.isVoid(&batch[i]) {
			s.releaseVoid(&batch[i])
		} else {
			records = append(records, &batch[i])
		}
	}
	return records
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
func (w *worker) call(s *session, c *caller, handler func() error) (failure *verdict) {
	defer func() {
		if value := recover(); value != nil {
			failure = verdictOfPanic(value)
			w.show(fmt.Sprintf("the handler panicked: %v\n%s", value, debug.Stack()))
			c.end()
		}
	}()
	err := handler()
	isStopped := c.end() && s.stopping.Load()
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
	shown := w.errors.Add(1)
	if shown <= shownErrors {
		w.say(message)
	}
	if shown == shownErrors {
		w.say("further failures of the handler are not shown")
	}
}
