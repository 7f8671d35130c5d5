package stagewire

import "time"

// lag is a lane that waits for what was given back of it, or for what the broker kept behind that.
type lag struct {
	behind int64     // how far it has come, microseconds
	since  time.Time // something of it came, or may have come, last
}

// giveBack expects the records of a window to come again, not before `at`. Until they have, the broker
// delivers nothing of their lanes, while the others move the watermark: so what then comes of a lane that
// lags is measured by the lane's own progress, and not late. What is held of the lane behind the given
// back records is void (OR-3): it leaves its window for `void`, and comes again as well. What was under
// way is none of the assembler's business: see closedLanes.
func (a *assembler) giveBack(w *Window, at time.Time) {
	first := map[lane]uint64{}
	for _, record := range w.Records {
		if l, isOrdered := a.ordering.laneOf(record); isOrdered && (first[l] == 0 || record.delivery < first[l]) {
			first[l] = record.delivery
		}
	}
	for e := a.order.Front(); e != nil; {
		next := e.Next()
		open := e.Value.(*Window)
		a.dropVoid(open, first, at)
		if len(open.Records) == 0 {
			a.order.Remove(e)
			delete(a.open, open.id)
		}
		e = next
	}
	for _, ended := range a.ready {
		if a.dropVoid(ended, first, at) {
			ended.Complete = false
		}
	}
	if a.size == 0 {
		return
	}
	for l := range first {
		before := a.lagging[l]
		switch {
		case before == nil && len(a.lagging) < rememberedIDs:
			a.lagging[l] = &lag{w.id.start, at}
		case before != nil && w.id.start < before.behind:
			before.behind, before.since = w.id.start, at
		case before != nil:
			before.since = at
		}
	}
	a.holdBack()
	a.expect(w.id, len(w.Records), !w.Complete, at)
}

// expect counts records of a window that are to come again.
func (a *assembler) expect(id windowID, records int, isPartial bool, at time.Time) {
	before, isKnown := a.returning[id]
	if isKnown || len(a.returning) < rememberedIDs {
		a.returning[id] = comeback{before.records + records, before.isPartial || isPartial, at}
	}
}

// dropVoid takes out of a window what is void, and says whether there was any.
func (a *assembler) dropVoid(w *Window, first map[lane]uint64, at time.Time) bool {
	kept, before := w.Records[:0], len(w.Records)
	for _, record := range w.Records {
		l, isOrdered := a.ordering.laneOf(record)
		if from := first[l]; isOrdered && from != 0 && record.delivery > from {
			a.void = append(a.void, record)
			w.bytes -= int(record.payload.length)
			a.given.add(record.ID())
		} else {
			kept = append(kept, record)
		}
	}
	w.Records = kept
	if gone := before - len(kept); gone > 0 && a.size > 0 {
		a.expect(w.id, gone, false, at)
	}
	return len(kept) < before
}

// sweep forgets what has not come again for so long that it never will: it became dead letters, or went
// to another worker, and nothing would tell. If it comes nevertheless, `given` and its attempt tell that
// it is not late, and its lane lags from there on.
func (a *assembler) sweep(now time.Time) {
	if now.Sub(a.swept) < forgetAfter/10 {
		return
	}
	a.swept = now
	isAny := false
	for l, lagging := range a.lagging {
		if now.Sub(lagging.since) >= forgetAfter {
			delete(a.lagging, l)
			isAny = true
		}
	}
	for id, away := range a.returning {
		if now.Sub(away.since) >= forgetAfter {
			delete(a.returning, id)
			isAny = true
		}
	}
	if isAny {
		a.endCaughtUp()
	}
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
	if l, isOrdered := a.ordering.laneOf(r); isOrdered && a.lagging[l] == nil && len(a.lagging) < rememberedIDs {
		a.lagging[l] = &lag{start, a.lastCame}
		a.holdBack()
	}
}

// progress moves a lagging lane, and is the watermark that counts for a record of it. Whatever comes of the
// lane comes behind what was given back, be that here again or a dead letter.
func (a *assembler) progress(r *Record, reached int64) (watermark int64) {
	if len(a.lagging) == 0 {
		return a.watermark
	}
	l, _ := a.ordering.laneOf(r)
	lagging := a.lagging[l]
	if lagging == nil {
		return a.watermark
	}
	lagging.since = a.lastCame
	before := lagging.behind
	if reached > before {
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
	if a.bounds.ByKey { // only lanes of that key: there may be many others
		for input := range a.ordering {
			for _, key := range []string{w.id.key, ""} {
				if lagging := a.lagging[lane{input, key}]; lagging != nil && lagging.behind < end {
					return true
				}
			}
		}
		return false
	}
	for _, lagging := range a.lagging {
		if lagging.behind < end {
			return true
		}
	}
	return false
}
