package stagewire

import (
	"time"

	pb "stagewire.dev/sdk/go/stagewirepb"
)

// lane is what the broker keeps in order: the records of a key, or all of an input.
type lane struct {
	input uint32
	key   string
}

// lag is a lane that waits for what was given back of it.
type lag struct {
	behind int64 // how far it has come, microseconds
	isBack bool  // the given back records are coming; what came before them was under way and is void
}

// laneOf says which lane a record is in; false: its input has no order, or the record no key.
func (a *assembler) laneOf(r *Record) (lane, bool) {
	switch a.ordering[r.input] {
	case pb.Ordering_ORDERING_NONE:
		return lane{}, false
	case pb.Ordering_ORDERING_KEY:
		return lane{r.input, string(r.key)}, len(r.key) > 0
	}
	return lane{r.input, ""}, true // an ordering that we do not know is TOTAL (HS-6)
}

// giveBack expects the records of a window to come again. Until they have, the broker delivers nothing
// of their lanes, while the others move the watermark: so what then comes of a lane that lags is
// measured by the lane's own progress, and not late. What is held of the lane behind the given back
// records is void (OR-3): it leaves its window for `replaced`, and comes again as well.
func (a *assembler) giveBack(w *Window) {
	first := map[lane]uint64{}
	for _, record := range w.Records {
		if l, isOrdered := a.laneOf(record); isOrdered && (first[l] == 0 || record.delivery < first[l]) {
			first[l] = record.delivery
		}
	}
	if a.held == nil {
		a.held = map[RecordID]*Record{}
	}
	for e := a.order.Front(); e != nil; {
		next := e.Next()
		open := e.Value.(*Window)
		a.dropVoid(open, first)
		if len(open.Records) == 0 {
			a.order.Remove(e)
			delete(a.open, open.id)
		}
		e = next
	}
	for _, ended := range a.ready {
		a.dropVoid(ended, first)
		for _, record := range ended.Records {
			delete(a.held, record.ID()) // only those of open windows are looked for
		}
	}
	if a.size == 0 {
		return
	}
	for l := range first {
		if before := a.lagging[l]; before == nil || w.id.start < before.behind {
			a.lagging[l] = &lag{behind: w.id.start}
		}
		a.lagging[l].isBack = false
	}
	a.holdBack()
	// One that never comes back (a dead letter by now) leaves its entry behind: not without bound.
	if expected, isKnown := a.returning[w.id]; isKnown || len(a.returning) < rememberedIDs {
		a.returning[w.id] = comeback{expected.records + len(w.Records), expected.isPartial || !w.Complete}
	}
}

func (a *assembler) dropVoid(open *Window, first map[lane]uint64) {
	kept := open.Records[:0]
	for _, record := range open.Records {
		l, isOrdered := a.laneOf(record)
		if from := first[l]; isOrdered && from != 0 && record.delivery > from {
			a.replaced = append(a.replaced, record)
			open.bytes -= len(record.payload)
			delete(a.held, record.ID())
			a.given.add(record.ID())
		} else {
			kept = append(kept, record)
			a.held[record.ID()] = record
		}
	}
	open.Records = kept
}

// holdBack keeps the watermark from ending open windows of lanes that lag.
func (a *assembler) holdBack() {
	for e := a.order.Front(); e != nil; e = e.Next() {
		if w := e.Value.(*Window); !w.isReturned && a.bounds.ByKey && a.isAwaited(w) {
			w.isReturned, w.deadline = true, a.lastCame.Add(a.patience())
		}
	}
}

// fallBack lets the lane of a record that was tried before lag from there on.
func (a *assembler) fallBack(r *Record, start int64) {
	if l, isOrdered := a.laneOf(r); isOrdered && a.lagging[l] == nil {
		a.lagging[l] = &lag{behind: start, isBack: true}
		a.holdBack()
	}
}

// progress moves a lagging lane, and is the watermark that counts for a record of it.
func (a *assembler) progress(r *Record, reached int64, isReturning bool) (watermark int64) {
	if len(a.lagging) == 0 {
		return a.watermark
	}
	l, _ := a.laneOf(r)
	lagging := a.lagging[l]
	if lagging == nil {
		return a.watermark
	}
	lagging.isBack = lagging.isBack || isReturning
	before := lagging.behind
	if lagging.isBack && reached > before {
		lagging.behind = reached
	}
	behind := lagging.behind
	if behind >= a.watermark {
		behind = a.watermark
		delete(a.lagging, l)
		a.endCaughtUp()
	} else if floorTo(before, a.size) != floorTo(behind, a.size) {
		a.endCaughtUp()
	}
	return behind
}

// endCaughtUp ends windows that only waited for lagging lanes; the watermark has them again otherwise.
func (a *assembler) endCaughtUp() {
	for e := a.order.Front(); e != nil; {
		next := e.Next()
		if w := e.Value.(*Window); w.isReturned && a.returning[w.id].records == 0 && !a.isAwaited(w) {
			if end := saturatingSum(w.id.start, a.size); end <= a.watermark {
				a.end(e, a.lastCame)
			} else {
				w.isReturned, w.deadline = false, time.Time{}
				if end < a.nextEnd {
					a.nextEnd = end
				}
			}
		}
		e = next
	}
}

// isAwaited says whether a lagging lane may still have records for the window.
func (a *assembler) isAwaited(w *Window) bool {
	end := saturatingSum(w.id.start, a.size)
	for l, lagging := range a.lagging {
		if lagging.behind < end && (!a.bounds.ByKey || l.key == w.id.key || l.key == "") {
			return true
		}
	}
	return false
}
