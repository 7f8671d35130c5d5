package stagewire

import (
	"context"
	"errors"
	"time"
)

// Bounds say when a window ends. Records, Bytes and Duration may be combined: the first to be reached
// ends the window. EventTime stands alone.
type Bounds struct {
	Records  int           // a window ends with that many records
	Bytes    int           // before its payloads are more than that
	Duration time.Duration // that long after its first record arrived

	// EventTime is the size of tumbling windows by event time, aligned to 1970: a record belongs to
	// [n*size, (n+1)*size). A window ends when the watermark passes its end: the latest event time that
	// this worker has seen, less Lateness.
	EventTime time.Duration
	Lateness  time.Duration
	Idle      time.Duration // without a record: then all windows end. 0: 10 s; negative: never
	Late      LatePolicy    // what becomes of records whose window has ended

	ByKey bool // a window for each key; otherwise one for all
}

// LatePolicy says what becomes of a record that comes when its window has ended.
type LatePolicy int

// Late records are dead letters, unless the pipeline can do without them.
const (
	RejectLate LatePolicy = iota // with the message "late: its window ended at T"
	AcceptLate                   // dropped, as filtered
)

// check finds what cannot be meant.
func (b Bounds) check() error {
	isByArrival := b.Records != 0 || b.Bytes != 0 || b.Duration != 0
	switch {
	case b.Records < 0 || b.Bytes < 0 || b.Duration < 0 || b.EventTime < 0 || b.Lateness < 0:
		return errors.New("the bounds of a window are not negative")
	case b.EventTime == 0 && !isByArrival:
		return errors.New("a window needs a bound: Records, Bytes, Duration or EventTime")
	case b.EventTime != 0 && isByArrival:
		return errors.New("windows by EventTime end by the watermark alone: leave out Records, Bytes and Duration")
	case b.EventTime != 0 && b.EventTime < time.Microsecond:
		return errors.New("a window by EventTime has at least a microsecond")
	case b.EventTime == 0 && (b.Lateness != 0 || b.Idle != 0 || b.Late != RejectLate):
		return errors.New("Lateness, Idle and Late belong to windows by EventTime")
	}
	return nil
}

// Window is what a handler of RunWindow is given.
type Window struct {
	Records []*Record // as they came
	// Start and End of a window by event time; otherwise when its first record came and when it ended.
	Start, End time.Time
	Key        []byte // of all its records, with ByKey
	// Complete is false when the window is only a part of what it should be: it ended early because the
	// broker lets a session hold no more, or the rest of it was given before.
	Complete bool

	id         windowID
	bytes      int
	deadline   time.Time // zero: none
	isReturned bool      // its time has passed; these are records that were given back
	isCut      bool      // it waited for others in vain
	isWhole    bool      // all that were given back are here again
	rejected   []rejection
}

type rejection struct {
	record *Record
	why    *verdict
}

// Reject makes one record of the window a dead letter; the others are settled as the handler returns.
func (w *Window) Reject(record *Record, code uint32, message string) {
	w.rejected = append(w.rejected, rejection{record, Reject(code, message).(*verdict)})
}

// Context is that of the handler call; see Record.Context.
func (w *Window) Context() context.Context {
	if len(w.Records) == 0 {
		return context.Background()
	}
	return w.Records[0].Context()
}

// judge splits the window's records by verdict, and finds what the handler got wrong. Nothing may be
// emitted from records that are all rejected, and an emission's parents are accepted records.
func (w *Window) judge(out *Emitter) (accepted []*Record, rejected []rejection, err error) {
	verdicts := make(map[*Record]*verdict, len(w.rejected))
	for _, one := range w.rejected {
		verdicts[one.record] = one.why
	}
	isAccepted := map[*Record]bool{}
	for _, record := range w.Records {
		if why := verdicts[record]; why != nil {
			rejected = append(rejected, rejection{record, why})
		} else {
			accepted = append(accepted, record)
			isAccepted[record] = len(out.parents) > 0
		}
	}
	if len(accepted) == 0 && !out.isEmpty() {
		return nil, nil, errors.New("a window whose records are all rejected emits nothing")
	}
	for _, parent := range out.parents {
		if !isAccepted[parent] {
			return nil, nil, errors.New("an emission's parents are records of its window that are not rejected")
		}
	}
	return accepted, rejected, nil
}
