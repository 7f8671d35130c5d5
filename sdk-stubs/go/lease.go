package stagewire

import (
	"context"
	"fmt"
	"time"

	pb "stagewire.dev/sdk/go/stagewirepb"
)

// extend renews the lease while deliveries are held and no Settle does it: under a long handler, while
// a window waits, or while credit is awaited. A handler that takes longer than its timeout gets no
// further Extend: the broker then takes back what this session holds.
//
// When a handler began is known to a third of a lease only, for a clock read per record would cost more
// than all else here. The earliest possible time counts, so no Extend follows the timeout; and the last
// one is less than two thirds of a lease before it, so none is missed by a handler that keeps to it.
//
//	 tick      tick      tick                 tick
//	--|---------|---------|---- ... -----------|---------> time
//	     ^begins ^seen: may have begun here at the tick before
func (s *session) extend(timeout time.Duration) {
	third := time.Duration(s.welcome.LeaseMs) * time.Millisecond / 3
	if third <= 0 {
		return
	}
	ticker := time.NewTicker(third)
	defer ticker.Stop()
	watches := make([]callWatch, len(s.callers))
	for i := range watches {
		watches[i] = callWatch{timeout: timeout, tick: time.Now()}
	}
	var before uint64
	for {
		select {
		case <-s.done:
			return
		case <-ticker.C:
		}
		isOver := false
		for i := range watches {
			isOver = s.watch(&watches[i], s.callers[i]) || isOver
		}
		settled := s.settler.settledCount()
		if !isOver && settled == before && s.received.Load() > settled {
			s.send(&pb.Envelope{Message: &pb.Envelope_Extend{Extend: &pb.Extend{}}})
		}
		before = settled
	}
}

// watch looks at one caller, and says whether its handler has had its time.
func (s *session) watch(watch *callWatch, c *caller) bool {
	isOver, isNews := watch.isOverdue(c.working.Load(), time.Now())
	if isNews {
		s.warn(fmt.Sprintf("the handler has worked on delivery %d for %v; its lease is not renewed any more, "+
			"the broker will give the record to another worker", watch.delivery, watch.timeout))
	}
	overdue := uint64(0)
	if isOver {
		overdue = watch.delivery
	}
	if c.overdue.Swap(overdue) != overdue {
		s.cond.Broadcast() // should it have returned just now, the next look corrects it
	}
	return isOver
}

// callWatch measures how long one handler call has been running.
type callWatch struct {
	timeout  time.Duration // 0: no limit
	tick     time.Time     // the last look
	delivery uint64        // that was being handled then; 0: none
	since    time.Time     // the earliest time at which its handling may have begun
	isSaid   bool
}

// isOverdue looks at the delivery being handled. isNews: it has become overdue with this look.
func (c *callWatch) isOverdue(delivery uint64, now time.Time) (isOver, isNews bool) {
	if delivery != c.delivery {
		c.delivery, c.since, c.isSaid = delivery, c.tick, false
	}
	c.tick = now
	isOver = delivery != 0 && c.timeout > 0 && now.Sub(c.since) >= c.timeout
	isNews = isOver && !c.isSaid
	c.isSaid = isOver
	return isOver, isNews
}

// call is the context of one handler call, made when it is asked for.
type call struct {
	context context.Context
	cancel  context.CancelFunc
}

// callContext is the context of the handler call that is running, of that caller or the main one.
func (s *session) callContext(c *caller) context.Context {
	if s.context == nil { // a trial: there is neither a broker nor a deadline
		return context.Background()
	}
	if c == nil {
		c = &s.main
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if running := c.running.Load(); running != nil {
		return running.context
	}
	made := &call{}
	if s.timeout > 0 {
		made.context, made.cancel = context.WithTimeout(s.context, s.timeout)
	} else {
		made.context, made.cancel = context.WithCancel(s.context)
	}
	c.running.Store(made)
	return made.context
}

// end ends the context of the call that has returned, and says whether there was one.
func (c *caller) end() bool {
	running := c.running.Load()
	if running == nil {
		return false
	}
	running.cancel()
	c.running.Store(nil)
	return true
}
