package stagewire

import (
	"container/list"
	"math"
	"sort"
	"time"
)

// windowID tells open windows apart.
type windowID struct {
	start int64 // microseconds, of windows by event time
	key   string
}

// assembler puts records into windows. It knows no clock and no broker: it is told the time, and what
// has ended is taken out of `ready`.
//
//	add ---> open (oldest first) --- records, bytes, time, watermark, endAll, endOldest ---> ready
//
// A window that was retried or released comes back record by record, when the watermark may have passed
// its end long ago. Those records are not late: `given` knows them. They make up a window that ends when
// as many have come as were given back, or when none has come for a while.
type assembler struct {
	bounds    Bounds
	size      int64 // of windows by event time, microseconds; 0: by arrival
	watermark int64 // microseconds
	nextEnd   int64 // the least end of an open window that the watermark will pass
	open      map[windowID]*list.Element
	order     *list.List // of *Window, oldest first
	ready     []*Window
	lastCame  time.Time // the last record
	isPartial map[windowID]bool
	returning map[windowID]comeback
	given     *memory
	ordering  orderings
	lagging   map[lane]*lag // those that wait for what was given back
	void      []*Record     // deliveries that left their windows
	swept     time.Time     // when `lagging` and `returning` were last looked through
}

// comeback is what has been given back of a window and has not been seen since.
type comeback struct {
	records   int
	isPartial bool      // it was a part only
	since     time.Time // it may have come again since then
}

func newAssembler(bounds Bounds) *assembler {
	return &assembler{bounds: bounds, size: bounds.EventTime.Microseconds(), watermark: math.MinInt64, nextEnd: math.MaxInt64,
		open: map[windowID]*list.Element{}, order: list.New(), isPartial: map[windowID]bool{}, returning: map[windowID]comeback{}, lagging: map[lane]*lag{},
		given: &memory{ids: map[RecordID]struct{}{}, capacity: rememberedIDs}}
}

// add puts a record into its window. A verdict other than nil: it has none, and is to be settled so.
func (a *assembler) add(r *Record, now time.Time) *verdict {
	a.lastCame = now
	var id windowID
	if a.bounds.ByKey {
		id.key = string(r.Key())
	}
	isReturning := r.attempt > 1 || a.given.has(r.ID())
	if a.size > 0 {
		if r.eventTime == 0 {
			return Reject(0, "a record without event time has no place in a window by event time").(*verdict)
		}
		id.start = floorTo(r.eventTime, a.size)
		reached := saturatingSum(r.eventTime, -a.bounds.Lateness.Microseconds())
		a.advance(reached)
		if end := saturatingSum(id.start, a.size); end <= a.watermark {
			if isReturning {
				a.fallBack(r, id.start) // another worker, or this one before a crash, may have given it back
			}
			if watermark := a.progress(r, reached); end <= watermark && !isReturning {
				return a.late(end)
			}
		} else {
			a.progress(r, reached)
		}
	}
	a.put(r, id, isReturning, now)
	return nil
}

func (a *assembler) late(end int64) *verdict {
	if a.bounds.Late == AcceptLate {
		return acceptVerdict
	}
	return Reject(0, "late: its window ended at "+formatMicroseconds(end)).(*verdict)
}

func (a *assembler) put(r *Record, id windowID, isReturning bool, now time.Time) {
	element := a.open[id]
	limit := a.bounds.Bytes
	if element != nil && limit > 0 && element.Value.(*Window).bytes+int(r.payload.length) > limit {
		a.end(element, now)
		element = nil
	}
	if element == nil {
		element = a.begin(r, id, now)
	}
	w := element.Value.(*Window)
	w.Records = append(w.Records, r)
	w.bytes += int(r.payload.length)
	if isReturning {
		a.welcomeBack(w)
	}
	if w.isReturned {
		w.deadline = now.Add(a.patience())
	}
	if w.isReturned && w.isWhole && !a.isAwaited(w) || len(w.Records) == a.bounds.Records || limit > 0 && w.bytes >= limit {
		a.end(element, now)
	}
}

// welcomeBack counts a record that was given back.
func (a *assembler) welcomeBack(w *Window) {
	expected, isExpected := a.returning[w.id]
	if !isExpected {
		return
	}
	if expected.records--; expected.records > 0 {
		a.returning[w.id] = expected
		return
	}
	delete(a.returning, w.id)
	w.isWhole = true
	if expected.isPartial {
		w.Complete = false
	}
}

func (a *assembler) begin(r *Record, id windowID, now time.Time) *list.Element {
	w := &Window{id: id, Start: now, Complete: true}
	if a.bounds.ByKey {
		w.Key = r.Key()
	}
	if a.bounds.Duration > 0 {
		w.deadline = now.Add(a.bounds.Duration)
	}
	if a.size > 0 {
		end := saturatingSum(id.start, a.size)
		w.Start, w.End = time.UnixMicro(id.start).UTC(), time.UnixMicro(end).UTC()
		w.isReturned = end <= a.watermark || a.bounds.ByKey && a.isAwaited(w)
		if !w.isReturned && end < a.nextEnd {
			a.nextEnd = end
		}
	}
	element := a.order.PushBack(w)
	a.open[id] = element
	return element
}

// end moves a window to `ready`.
func (a *assembler) end(element *list.Element, now time.Time) {
	w := element.Value.(*Window)
	a.order.Remove(element)
	delete(a.open, w.id)
	if a.size == 0 {
		w.End = now
	} else {
		for _, record := range w.Records {
			a.given.add(record.ID())
		}
		if a.isPartial[w.id] || w.isCut {
			w.Complete = false
		}
		if away, isAway := a.returning[w.id]; isAway {
			away.isPartial, w.Complete = true, false
			a.returning[w.id] = away
		}
	}
	a.ready = append(a.ready, w)
}

// advance moves the watermark, and ends what it passes: the earliest end first.
func (a *assembler) advance(watermark int64) {
	if watermark <= a.watermark {
		return
	}
	a.watermark = watermark
	if watermark < a.nextEnd {
		return
	}
	var passed []*list.Element
	a.nextEnd = math.MaxInt64
	for e := a.order.Front(); e != nil; e = e.Next() {
		w := e.Value.(*Window)
		end := saturatingSum(w.id.start, a.size)
		switch {
		case w.isReturned:
		case end <= watermark:
			passed = append(passed, e)
		case end < a.nextEnd:
			a.nextEnd = end
		}
	}
	sort.SliceStable(passed, func(i, j int) bool {
		return passed[i].Value.(*Window).id.start < passed[j].Value.(*Window).id.start
	})
	for _, e := range passed {
		a.end(e, a.lastCame)
	}
	for id := range a.isPartial {
		if saturatingSum(id.start, a.size) <= watermark {
			delete(a.isPartial, id)
		}
	}
}

// tick ends what time ends. isQuiet: no record waits to be added.
func (a *assembler) tick(now time.Time, isQuiet bool) {
	a.sweep(now)
	if isQuiet && a.isIdleCounted() && now.Sub(a.lastCame) >= a.bounds.idle() {
		last := int64(math.MinInt64)
		for e := a.order.Front(); e != nil; e = e.Next() {
			if start := e.Value.(*Window).id.start; start > last {
				last = start
			}
		}
		a.advance(saturatingSum(last, a.size))
	}
	for e := a.order.Front(); e != nil; {
		next := e.Next()
		w := e.Value.(*Window)
		if !w.deadline.IsZero() {
			if now.Before(w.deadline) {
				if a.size == 0 {
					break // by arrival the oldest have the earliest deadlines
				}
			} else {
				w.isCut = w.isReturned && !w.isWhole
				a.end(e, now)
			}
		}
		e = next
	}
}

func (a *assembler) isIdleCounted() bool {
	return a.size > 0 && a.order.Len() > 0 && a.bounds.Idle >= 0
}

// deadline is when tick is to be called next; the zero time: not before another record.
func (a *assembler) deadline() (at time.Time) {
	if a.isIdleCounted() {
		at = a.lastCame.Add(a.bounds.idle())
	}
	for e := a.order.Front(); e != nil; e = e.Next() {
		if due := e.Value.(*Window).deadline; !due.IsZero() {
			if at.IsZero() || due.Before(at) {
				at = due
			}
			if a.size == 0 {
				break
			}
		}
	}
	return at
}

// endAll ends every window but those whose records are still coming back.
func (a *assembler) endAll(now time.Time) {
	for e := a.order.Front(); e != nil; {
		next := e.Next()
		if w := e.Value.(*Window); !w.isReturned || a.returning[w.id].records == 0 {
			a.end(e, now)
		}
		e = next
	}
	a.nextEnd = math.MaxInt64
}

// endOldest ends the oldest window, for there is no room for more. false: there is none.
func (a *assembler) endOldest(now time.Time) bool {
	front := a.order.Front()
	if front == nil {
		return false
	}
	w := front.Value.(*Window)
	w.Complete = false
	if a.size > 0 && !w.isReturned {
		a.isPartial[w.id] = true
	}
	a.end(front, now)
	return true
}

// patience is how long returning records wait for each other.
func (a *assembler) patience() time.Duration {
	if a.bounds.Idle < 0 {
		return defaultIdle
	}
	return a.bounds.idle()
}

func (b Bounds) idle() time.Duration {
	if b.Idle == 0 {
		return defaultIdle
	}
	return b.Idle
}

// memory is a set of record ids that forgets the oldest.
type memory struct {
	capacity int
	ids      map[RecordID]struct{}
	ring     []RecordID
	at       int
}

func (m *memory) has(id RecordID) bool {
	_, ok := m.ids[id]
	return ok
}

func (m *memory) add(id RecordID) {
	if id == (RecordID{}) || m.has(id) {
		return
	}
	if len(m.ring) < m.capacity {
		m.ring = append(m.ring, id)
	} else {
		delete(m.ids, m.ring[m.at])
		m.ring[m.at] = id
		m.at = (m.at + 1) % len(m.ring)
	}
	m.ids[id] = struct{}{}
}

// floorTo is the greatest multiple of size that is not above t.
func floorTo(t, size int64) int64 {
	rest := t % size
	if rest < 0 {
		rest += size
	}
	return saturatingSum(t, -rest)
}

func saturatingSum(a, b int64) int64 {
	sum := a + b
	switch {
	case b > 0 && sum < a:
		return math.MaxInt64
	case b < 0 && sum > a:
		return math.MinInt64
	}
	return sum
}
