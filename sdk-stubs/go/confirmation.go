package stagewire

import (
	"fmt"
	"runtime/debug"
	"sort"
	"sync"

	pb "stagewire.dev/sdk/go/stagewirepb"
)

// OnConfirmed has something done once the broker has confirmed that this record's settlement is durable (in a
// pipeline with `durability: memory`: applied): the record will not come again, and what it stands for may be
// deleted. To be called by the handler.
//
// Actions are called in the order of deliveries, one at a time, on a goroutine of their own; an error or a panic is
// shown on standard error. An action is not called when the record is not accepted, when the broker refuses what was
// emitted, when the session ends before, and in trials without a broker.
func (r *Record) OnConfirmed(action func() error) {
	if s := r.session(); s != nil && s.settler != nil {
		s.settler.ask(r.delivery, action)
	}
}

// confirmations are what is to be done once deliveries are confirmed (ST-8). The settler's lock guards them.
type confirmations map[uint64]*confirmation

type confirmation struct {
	outcome uint64 // the first delivery of its outcome, by which the broker names a refusal
	actions []func() error
}

func (s *settler) ask(delivery uint64, action func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked == nil {
		s.asked = confirmations{}
	}
	one := s.asked[delivery]
	if one == nil {
		one = &confirmation{outcome: delivery}
		s.asked[delivery] = one
	}
	one.actions = append(one.actions, action)
}

// note is told of every outcome but plain acceptances, which can neither be refused nor mean anything else.
func (c confirmations) note(spans []span, isAccepted bool) {
	if len(c) == 0 {
		return
	}
	for _, one := range spans {
		for delivery := one.first; delivery <= one.last; delivery++ {
			if !isAccepted {
				delete(c, delivery)
			} else if asked := c[delivery]; asked != nil {
				asked.outcome = spans[0].first
			}
		}
	}
}

// confirmed takes out what a Settled confirms, in the order of the deliveries.
func (s *settler) confirmed(settled *pb.Settled) (actions []func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.asked) == 0 {
		return nil
	}
	dead := map[uint64]bool{}
	for _, refusal := range settled.Refused {
		dead[refusal.Id] = true
	}
	var deliveries []uint64
	for delivery, one := range s.asked {
		if dead[one.outcome] {
			delete(s.asked, delivery)
		} else if delivery <= settled.Through {
			deliveries = append(deliveries, delivery)
		}
	}
	sort.Slice(deliveries, func(i, j int) bool { return deliveries[i] < deliveries[j] })
	for _, delivery := range deliveries {
		actions = append(actions, s.asked[delivery].actions...)
		delete(s.asked, delivery)
	}
	return actions
}

// confirmer calls what was asked for, one after the other, off the goroutines that read and handle.
type confirmer struct {
	show func(message string)

	mu        sync.Mutex
	idle      sync.Cond
	queue     []func() error
	isRunning bool
}

func newConfirmer(show func(string)) *confirmer {
	c := &confirmer{show: show}
	c.idle.L = &c.mu
	return c
}

func (c *confirmer) run(actions []func() error) {
	if len(actions) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue = append(c.queue, actions...)
	if !c.isRunning {
		c.isRunning = true
		go c.work()
	}
}

func (c *confirmer) work() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.queue) > 0 {
		action := c.queue[0]
		c.queue = c.queue[1:]
		c.mu.Unlock()
		c.call(action)
		c.mu.Lock()
	}
	c.queue, c.isRunning = nil, false
	c.idle.Broadcast()
}

func (c *confirmer) call(action func() error) {
	defer func() {
		if value := recover(); value != nil {
			c.show(fmt.Sprintf("what was to be done on confirmation panicked: %v\n%s", value, debug.Stack()))
		}
	}()
	if err := action(); err != nil {
		c.show("what was to be done on confirmation failed: " + printable(err.Error()))
	}
}

// finish returns when everything that was confirmed is done.
func (c *confirmer) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.isRunning {
		c.idle.Wait()
	}
}
