package stagewire

import (
	"sync/atomic"

	pb "stagewire.dev/sdk/go/stagewirepb"
)

// charge is what emissions cost on one output, before the broker's stamp_reserve is added per record.
type charge struct{ records, bytes uint64 }

// outputCredit is what the broker lets us send on one output port: cumulative, zero until its first Credit.
//
// Invariant: used <= limit, in records and in bytes, always; `used` includes gathered, unsent outcomes.
//
// The limits are raised, and what is used is written, behind the session's lock; but with a single caller, to whom
// `used` belongs, only the limits are shared (see reserve).
type outputCredit struct {
	number                    uint32
	limitRecords, limitBytes  atomic.Uint64
	usedRecords, usedBytesSum uint64
}

func (o *outputCredit) fits(c charge, reserve uint64) bool {
	return c.records <= o.limitRecords.Load()-o.usedRecords && c.bytes+c.records*reserve <= o.limitBytes.Load()-o.usedBytesSum
}

func (o *outputCredit) use(c charge, reserve uint64) {
	if !o.fits(c, reserve) {
		panic("stagewire: output credit overshot")
	}
	o.usedRecords += c.records
	o.usedBytesSum += c.bytes + c.records*reserve
}

// raise takes a Credit over; a limit that does not grow is ignored.
func (o *outputCredit) raise(records, bytes uint64) {
	if records > o.limitRecords.Load() {
		o.limitRecords.Store(records)
	}
	if bytes > o.limitBytes.Load() {
		o.limitBytes.Store(bytes)
	}
}

// inputWindow is what we let the broker send on one input: the window beyond what has left our queue.
//
//	0 ........ taken ........ received ........ limit = taken at the last grant + window
//
// A grant goes out when half of the window has been taken since the last one: with a window of two
// records of the largest size an empty queue then always leaves room for any record.
type inputWindow struct {
	number                         uint32
	windowRecords, windowBytes     uint64
	takenRecords, takenBytes       uint64
	receivedRecords, receivedBytes uint64
	limitRecords, limitBytes       uint64
}

func newInputWindow(input *pb.Input, maxRecord uint64) *inputWindow {
	w := &inputWindow{number: input.Number, windowRecords: windowRecords, windowBytes: windowBytes}
	if w.windowBytes < 2*maxRecord {
		w.windowBytes = 2 * maxRecord
	}
	return w
}

// receive books a record that arrived, and says whether the broker kept to our limits.
func (w *inputWindow) receive(size int) bool {
	w.receivedRecords++
	w.receivedBytes += uint64(size)
	return w.receivedRecords <= w.limitRecords && w.receivedBytes <= w.limitBytes
}

// take books a record that left the queue.
func (w *inputWindow) take(size int) {
	w.takenRecords++
	w.takenBytes += uint64(size)
}

// isDue says whether half a window has been taken since the last grant.
func (w *inputWindow) isDue() bool {
	return w.takenRecords+w.windowRecords-w.limitRecords >= w.windowRecords/2 ||
		w.takenBytes+w.windowBytes-w.limitBytes >= w.windowBytes/2
}

// grant moves the limits up to a full window.
func (w *inputWindow) grant() *pb.Credit {
	w.limitRecords = w.takenRecords + w.windowRecords
	w.limitBytes = w.takenBytes + w.windowBytes
	return &pb.Credit{Number: w.number, Records: w.limitRecords, Bytes: w.limitBytes}
}
