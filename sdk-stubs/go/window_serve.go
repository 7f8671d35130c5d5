package stagewire

import (
	"sort"
	"time"

	pb "stagewire.dev/sdk/go/stagewirepb"
)

// holder runs a session's windows: what it holds is delivered and not settled, so it survives any crash.
type holder struct {
	worker    *worker
	session   *session
	assembler *assembler
	emitter   *Emitter
	held      map[uint32]charge // by input; what a session may hold is bounded (DE-4)
}

// serveWindows handles windows until the session ends.
func (w *worker) serveWindows(s *session) error {
	h := &holder{worker: w, session: s, assembler: newAssembler(w.bounds), emitter: newEmitter(s.welcome, 4), held: map[uint32]charge{}}
	h.assembler.ordering = s.ordering
	for {
		batch, drain := s.nextUntil(h.assembler.deadline())
		if w.isSignalled() || s.reason() != nil {
			return w.finish(s) // Close(0) gives back what is held
		}
		now := time.Now()
		if len(batch) > 0 {
			s.take(batch)
		}
		for i := range batch {
			h.hold(&batch[i], now)
		}
		switch drain {
		case pb.DrainReason_DRAIN_REASON_SHUTDOWN:
			h.releaseAll()
			continue
		case pb.DrainReason_DRAIN_REASON_INPUT_ENDED:
			if len(batch) == 0 {
				h.assembler.endAll(now)
			}
		}
		h.assembler.tick(now, len(batch) == 0)
		h.giveReady()
	}
}

// nextUntil is nextBatch for whoever has something else to do at `deadline` or with a drain. Without a
// batch, nothing waits in the queue.
func (s *session) nextUntil(deadline time.Time) (batch []Record, drain pb.DrainReason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.drain
	if !deadline.IsZero() {
		timer := time.AfterFunc(time.Until(deadline), s.cond.Broadcast)
		defer timer.Stop()
	}
	isDrained := s.hasDrained
	s.waitFlushed(&s.main, func() bool {
		return len(s.queue) > 0 || s.isSignalled || s.drain != before || s.drain != 0 && !isDrained ||
			!deadline.IsZero() && !time.Now().Before(deadline)
	})
	if len(s.queue) > 0 {
		batch = s.dequeue()
	}
	// After records came during a drain there is one more turn, with an empty queue.
	s.hasDrained = s.drain != 0 && len(batch) == 0
	return batch, s.drain
}

// hold puts a record into its window. Windows that this ends are handled at once.
func (h *holder) hold(r *Record, now time.Time) {
	if h.session.isVoid(r) {
		h.session.releaseVoid(r)
		return
	}
	if h.session.stopping.Load() {
		h.session.settle([]*Record{r}, releaseVerdict)
		return
	}
	if h.worker.bounds.ByKey || h.worker.bounds.EventTime > 0 {
		r = r.clone() // its neighbours in the frame may be gone long before it
	}
	use := h.held[r.input]
	h.held[r.input] = charge{use.records + 1, use.bytes + uint64(r.size)}
	if refused := h.assembler.add(r, now); refused != nil {
		h.forget(r)
		h.settleOne(r, refused)
	}
	h.giveReady()
	for h.isFull(r.input) && h.assembler.endOldest(now) {
		h.giveReady()
	}
}

// isFull says whether the broker might deliver nothing more before something is settled.
func (h *holder) isFull(number uint32) bool {
	use := h.held[number]
	for _, input := range h.session.welcome.Inputs {
		if input.Number == number {
			return use.records >= input.MaxUnsettledRecords || use.bytes+h.session.welcome.MaxRecord > input.MaxUnsettledBytes
		}
	}
	return false
}

func (h *holder) forget(r *Record) {
	use := h.held[r.input]
	h.held[r.input] = charge{use.records - 1, use.bytes - uint64(r.size)}
}

// settleOne is a verdict for one record that leaves its neighbours alone: accepted or rejected.
func (h *holder) settleOne(r *Record, why *verdict) {
	if why == acceptVerdict {
		h.session.settler.accept(r.delivery)
		return
	}
	h.session.settle([]*Record{r}, why)
}

// giveReady hands the windows that have ended to the handler, and settles them.
func (h *holder) giveReady() {
	for len(h.assembler.ready) > 0 {
		w := h.assembler.ready[0]
		h.assembler.ready = h.assembler.ready[1:]
		for _, record := range w.Records {
			h.forget(record)
		}
		if len(w.Records) == 0 {
			continue
		}
		if h.session.stopping.Load() {
			h.settleAll(w, releaseVerdict)
			continue
		}
		h.session.main.working.Store(w.Records[0].delivery)
		failure, accepted, rejected := h.worker.handleWindow(h.session, w, h.emitter)
		h.session.main.working.Store(0)
		h.settleWindow(w, failure, accepted, rejected)
	}
}

// handleWindow calls the handler. Without a failure the window's records are accepted or rejected one by one.
func (w *worker) handleWindow(s *session, window *Window, out *Emitter) (failure *verdict, accepted []*Record, rejected []rejection) {
	out.reset()
	failure = w.call(s, &s.main, func() (err error) {
		if err = w.window(window, out); err == nil && out.failure == nil {
			accepted, rejected, err = window.judge(out)
		}
		return err
	})
	if failure == nil {
		failure = out.check()
	}
	return failure, accepted, rejected
}

func (h *holder) settleWindow(w *Window, failure *verdict, accepted []*Record, rejected []rejection) {
	if failure != nil {
		h.settleAll(w, failure)
		return
	}
	if !h.emitter.isEmpty() && !h.session.reserve(&h.session.main, h.emitter.charges) {
		return // the session is over, or Close(0) gives the window back
	}
	if len(accepted) > 0 {
		h.session.settler.settle(spansOf(accepted), acceptVerdict.outcome(), h.emitter.body)
	}
	for _, one := range rejected {
		h.settleOne(one.record, one.why)
	}
}

// settleAll is a verdict for a whole window.
func (h *holder) settleAll(w *Window, why *verdict) {
	h.session.settle(w.Records, why)
	if !why.givesBack() {
		return
	}
	h.assembler.giveBack(w, time.Now().Add(why.delay))
	void := h.assembler.void
	h.assembler.void = void[:0]
	sort.Slice(void, func(i, j int) bool { return void[i].delivery < void[j].delivery })
	for _, record := range void {
		h.forget(record)
		h.session.releaseVoid(record)
	}
}

// releaseAll gives back everything that is held.
func (h *holder) releaseAll() {
	for h.assembler.endOldest(time.Now()) {
	}
	h.giveReady()
}

// spansOf are the records' deliveries, ascending.
func spansOf(records []*Record) (spans []span) {
	deliveries := make([]uint64, len(records))
	for i, record := range records {
		deliveries[i] = record.delivery
	}
	sort.Slice(deliveries, func(i, j int) bool { return deliveries[i] < deliveries[j] })
	for _, delivery := range deliveries {
		if n := len(spans); n > 0 && spans[n-1].last+1 == delivery {
			spans[n-1].last = delivery
		} else {
			spans = append(spans, span{delivery, delivery})
		}
	}
	return spans
}

// clone is the record with bytes of its own.
func (r *Record) clone() *Record {
	copied := *r
	copied.origin, copied.at = &origin{append([]byte(nil), r.encoded()...), r.session()}, 0
	return &copied
}
