package stagewire

import (
	"math"
	"sync"
	"sync/atomic"

	pb "stagewire.dev/sdk/go/stagewirepb"
)

// caller is one of those who call the handler: a session's main one, or one of Workers.
type caller struct {
	working atomic.Uint64 // the delivery whose handler runs; 0: none, as far as anybody waits
	running atomic.Pointer[call]
	overdue atomic.Uint64 // that delivery, when its handler has had its time; 0: it has not
}

// pool calls the handler for several records at once. Related records are handled and settled one after the
// other, in the order of their ids (OR-2), for a lane belongs to one caller at a time:
//
//	queue: a1 b1 a2 - a3 b2      caller 1: a1, then a2, a3    lanes: a: [a2 a3]
//	       (-: no key)           caller 2: b1, then b2               b: [b2]
//	                             caller 3: -
//
// A caller settles what it handled before it takes more, and whoever has no lane takes from the queue until
// it finds a record that may be handled. So a lane is never kept from settling by another one, and what waits
// behind a lane is bounded by what the broker lets the session hold (DE-3).
//
// Everything here, and `session.closed` with it, is guarded by the session's lock.
type pool struct {
	worker  *worker
	session *session
	lanes   map[lane][]*Record // that have a caller; with what waits behind the record at hand
}

// servePool handles records, several at once, until the session ends.
func (w *worker) servePool(s *session) error {
	p := &pool{worker: w, session: s, lanes: map[lane][]*Record{}}
	var callers sync.WaitGroup
	for _, c := range s.callers {
		callers.Add(1)
		go func(c *caller) {
			defer callers.Done()
			p.serve(c)
		}(c)
	}
	callers.Wait()
	return w.finish(s)
}

// serve is the life of a caller.
func (p *pool) serve(c *caller) {
	w, s := p.worker, p.session
	emitter := newEmitter(s.welcome, 4)
	for record := p.next(c, nil); record != nil; record = p.next(c, record) {
		if s.stopping.Load() {
			if !w.isSignalled() && s.reason() == nil {
				p.giveBack(record, releaseVerdict)
			} // else our Close gives it back
			continue
		}
		record.caller = c
		c.working.Store(record.delivery)
		emitter.reset()
		failure := w.call(s, c, func() error { return w.handler(record, emitter) })
		c.working.Store(0)
		if failure == nil {
			failure = emitter.check()
		}
		if failure != nil && failure.givesBack() {
			p.giveBack(record, failure)
		} else {
			w.settle(s, c, record, failure, emitter)
		}
	}
}

// giveBack settles a record that comes again, and what waits behind it, which is void.
func (p *pool) giveBack(record *Record, why *verdict) {
	s := p.session
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle([]*Record{record}, why)
	if l, isOrdered := s.ordering.laneOf(record); isOrdered {
		for _, void := range p.lanes[l] {
			s.releaseVoid(void)
		}
		p.lanes[l] = nil
	}
}

// next is what a caller is to handle after `done`, which is settled. With nothing to do it first writes what
// is gathered. nil: the session has ended, or this process was told to.
func (p *pool) next(c *caller, done *Record) *Record {
	s := p.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.overdue.Swap(0) != 0 {
		s.cond.Broadcast() // the others waited for us
	}
	for isFlushed := false; s.ended == nil && !s.isSignalled; {
		if record := p.take(&done); record != nil {
			return record
		}
		if isFlushed {
			s.cond.Wait()
			continue
		}
		s.mu.Unlock()
		s.settler.flush()
		s.mu.Lock()
		isFlushed = true
	}
	return nil
}

// take finds a record that may be handled: of the lane of `done`, which is left if there is none, or out of
// the queue. While a handler is overdue only older records are: with nothing younger settled, the lease
// runs out, and the overdue record is the oldest, which the broker charges (LE-2).
func (p *pool) take(done **Record) *Record {
	s, limit := p.session, p.session.oldestOverdue()
	if *done != nil {
		if l, isOrdered := s.ordering.laneOf(*done); isOrdered {
			if waiting := p.lanes[l]; len(waiting) == 0 {
				delete(p.lanes, l)
			} else if waiting[0].delivery > limit {
				return nil
			} else {
				p.lanes[l] = waiting[1:]
				return waiting[0]
			}
		}
		*done = nil
	}
	for limit == math.MaxUint64 {
		record := s.nextQueued()
		if record == nil {
			return nil
		}
		if s.isVoid(record) {
			s.releaseVoid(record)
			continue
		}
		l, isOrdered := s.ordering.laneOf(record)
		if !isOrdered {
			return record
		}
		waiting, hasCaller := p.lanes[l]
		if !hasCaller {
			p.lanes[l] = nil
			return record
		}
		p.lanes[l] = append(waiting, record)
	}
	return nil
}

// oldestOverdue is the first delivery whose handler is overdue; the largest number: none.
func (s *session) oldestOverdue() uint64 {
	oldest := uint64(math.MaxUint64)
	for _, c := range s.callers {
		if delivery := c.overdue.Load(); delivery != 0 && delivery < oldest {
			oldest = delivery
		}
	}
	return oldest
}

// nextQueued takes a record out of the queue, if there is one. Called with the lock held.
func (s *session) nextQueued() *Record {
	for s.at == len(s.batch) {
		if len(s.queue) == 0 {
			return nil
		}
		s.batch, s.at = s.dequeue(), 0
	}
	record := &s.batch[s.at]
	s.at++
	window := s.inputs[record.input]
	window.take(int(record.size))
	if window.isDue() {
		s.send(&pb.Envelope{Message: &pb.Envelope_Credit{Credit: window.grant()}})
	}
	return record
}
