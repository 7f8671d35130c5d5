package stagewire

import (
	"sort"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "stagewire.dev/sdk/go/stagewirepb"
)

// span is a range of delivery ids, both ends included.
type span struct{ first, last uint64 }

// settler gathers encoded outcomes until it is worth a frame. Its lock is also the lock of the
// connection's writing side, so that frames never mix.
type settler struct {
	mu       sync.Mutex
	write    func(frame []byte) // writes one frame; errors show on the reading side
	maxFrame int

	buffer   []byte         // frameHeadroom free bytes, then outcomes
	run      []span         // deliveries with one plain verdict, in the order of settling, not yet encoded
	runKind  pb.OutcomeKind // theirs
	gathered uint64         // deliveries settled by the encoded outcomes
	settled  uint64         // deliveries whose Settle has been written
	pings    uint64         // written so far; their nonces count from 1
	isAsking bool           // a Ping is to follow the next Settle
	timer    *time.Timer
	isArmed  bool
	asked    confirmations
	isClosed bool // a Close has been written or received: nothing may follow (EN-1)
}

func newSettler(write func([]byte), maxFrame uint64) *settler {
	s := &settler{maxFrame: int(maxFrame), buffer: make([]byte, frameHeadroom, settleTarget+settleTarget/4)}
	s.write = func(frame []byte) {
		if !s.isClosed {
			write(frame)
		}
	}
	s.timer = time.AfterFunc(time.Hour, s.flush)
	s.timer.Stop()
	return s
}

// accept settles one delivery that produced nothing. Neighbours become one outcome: a sink's Settle
// is a few bytes however many records it covers.
func (s *settler) accept(delivery uint64) { s.join(delivery, pb.OutcomeKind_OUTCOME_KIND_ACCEPTED) }

// release settles one delivery that is taken to be void, and returns the nonce of the Ping that is to be
// behind it: should it not be void, this gives it back.
func (s *settler) release(delivery uint64) (ping uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked.note([]span{{delivery, delivery}}, false)
	s.joinLocked(delivery, pb.OutcomeKind_OUTCOME_KIND_RELEASED)
	s.isAsking = true // for what is gathered, the run included: see joinLocked
	return s.pings + 1
}

func (s *settler) join(delivery uint64, kind pb.OutcomeKind) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.joinLocked(delivery, kind)
}

// joinLocked adds to the run. One that begins finds room in the frame: none is written between its
// deliveries and their Ping.
func (s *settler) joinLocked(delivery uint64, kind pb.OutcomeKind) {
	n := len(s.run)
	switch {
	case n > 0 && kind == s.runKind && delivery == s.run[n-1].last+1:
		s.run[n-1].last = delivery
	case n > 0 && kind == s.runKind && n < runSpans: // several handlers finish in any order
		s.run = append(s.run, span{delivery, delivery})
	default:
		s.closeRun()
		if len(s.buffer) >= settleTarget {
			s.writeGathered()
		}
		s.run, s.runKind = append(s.run, span{delivery, delivery}), kind
	}
	s.arm()
}

// settle adds one outcome over `spans` (ascending; one record's, or all of a window's). `emissions`
// are encoded `Outcome.emissions` fields whose credit the caller has reserved.
func (s *settler) settle(spans []span, outcome *pb.Outcome, emissions []byte) {
	head, deliveries := encodeOutcome(spans, outcome)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked.note(spans, outcome.Kind == pb.OutcomeKind_OUTCOME_KIND_ACCEPTED)
	s.append(deliveries, head, emissions)
}

// giveBack is `settle` for a verdict behind whose Settle there is to be a Ping, whose nonce it returns.
func (s *settler) giveBack(spans []span, outcome *pb.Outcome) (ping uint64) {
	head, deliveries := encodeOutcome(spans, outcome)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked.note(spans, false)
	s.closeRun()
	s.appendOutcome(deliveries, head, nil)
	// Not earlier: to make room, a frame may just have been written.
	s.isAsking, ping = true, s.pings+1
	s.writeOrArm()
	return ping
}

// encodeOutcome is the outcome with its deliveries, which it counts.
func encodeOutcome(spans []span, outcome *pb.Outcome) (head []byte, deliveries uint64) {
	for i, one := range spans {
		last := one.last
		if last == one.first {
			last = 0
		}
		if i == 0 {
			outcome.First, outcome.Last = one.first, last
		} else {
			outcome.More = append(outcome.More, &pb.Range{First: one.first, Last: last})
		}
	}
	head, err := proto.Marshal(outcome)
	if err != nil {
		panic("stagewire: " + err.Error())
	}
	for _, one := range spans {
		deliveries += one.last - one.first + 1
	}
	return head, deliveries
}

// settleOne is `settle` for the usual case, an acceptance of one delivery with emissions, by hand.
func (s *settler) settleOne(delivery uint64, emissions []byte) {
	s.mu.Lock()
	s.closeRun()
	length := 3 + protowire.SizeVarint(delivery) + len(emissions)
	s.makeRoom(length)
	b := appendVarint(appendTag(s.buffer, 1, protowire.BytesType), uint64(length))
	b = appendVarint(appendTag(b, 1, protowire.VarintType), delivery)
	b = appendUint(b, 3, uint64(pb.OutcomeKind_OUTCOME_KIND_ACCEPTED))
	s.buffer = append(b, emissions...)
	s.gathered++
	s.writeOrArm()
	s.mu.Unlock() // not deferred: this is done for every record
}

// append adds an outcome made of two pieces; a frame that it would make too large is written first.
func (s *settler) append(deliveries uint64, head, emissions []byte) {
	s.closeRun()
	s.appendOutcome(deliveries, head, emissions)
	s.writeOrArm()
}

func (s *settler) writeOrArm() {
	if len(s.buffer) >= settleTarget {
		s.writeGathered()
	} else {
		s.arm()
	}
}

func (s *settler) appendOutcome(deliveries uint64, head, emissions []byte) {
	length := len(head) + len(emissions)
	s.makeRoom(length)
	s.buffer = protowire.AppendTag(s.buffer, 1, protowire.BytesType)
	s.buffer = protowire.AppendVarint(s.buffer, uint64(length))
	s.buffer = append(append(s.buffer, head...), emissions...)
	s.gathered += deliveries
}

// makeRoom writes the frame that an outcome of this length would make too large.
func (s *settler) makeRoom(length int) {
	if s.gathered > 0 && len(s.buffer)+length+frameHeadroom > s.maxFrame {
		s.writeGathered()
	}
}

// closeRun encodes the run of plain verdicts, if there is one.
func (s *settler) closeRun() {
	if len(s.run) == 0 {
		return
	}
	run := s.run[0]
	if len(s.run) > 1 {
		head, deliveries := encodeOutcome(merged(s.run), &pb.Outcome{Kind: s.runKind})
		s.run = s.run[:0]
		s.appendOutcome(deliveries, head, nil)
		return
	}
	s.run = s.run[:0]
	var head [32]byte
	b := appendUint(head[:0], 1, run.first)
	if run.last != run.first {
		b = appendUint(b, 2, run.last)
	}
	b = appendUint(b, 3, uint64(s.runKind))
	s.appendOutcome(run.last-run.first+1, b, nil)
}

// merged are the same deliveries, ascending.
func merged(spans []span) []span {
	sort.Slice(spans, func(i, j int) bool { return spans[i].first < spans[j].first })
	joined := spans[:1]
	for _, one := range spans[1:] {
		if before := &joined[len(joined)-1]; before.last+1 == one.first {
			before.last = one.last
		} else {
			joined = append(joined, one)
		}
	}
	return joined
}

// arm makes sure that what is gathered does not wait for a slow handler.
func (s *settler) arm() {
	if !s.isArmed {
		s.isArmed = true
		s.timer.Reset(settleDelay)
	}
}

// flush writes what is gathered.
func (s *settler) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeRun()
	if s.gathered > 0 {
		s.writeGathered()
	} else if s.isArmed {
		s.isArmed = false
		s.timer.Stop()
	}
}

func (s *settler) writeGathered() {
	if s.isArmed {
		s.isArmed = false
		s.timer.Stop()
	}
	s.write(closeFrame(s.buffer, envelopeSettle))
	if s.isAsking {
		s.isAsking = false
		s.pings++
		s.write(encodeFrame(&pb.Envelope{Message: &pb.Envelope_Ping{Ping: &pb.Ping{Nonce: s.pings}}}))
	}
	s.settled += s.gathered
	s.gathered = 0
	s.buffer = s.buffer[:frameHeadroom]
	if cap(s.buffer) > 4*settleTarget {
		s.buffer = make([]byte, frameHeadroom, settleTarget+settleTarget/4)
	}
}

// send writes one control frame, behind everything written before, ahead of what is gathered.
func (s *settler) send(frame []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.write(frame)
}

// close writes our last frame, if there is one to write. false: the last one had been written before.
func (s *settler) close(frame []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isClosed {
		return false
	}
	if len(frame) > 0 {
		s.write(frame)
	}
	s.isClosed = true
	return true
}

// pinged is the nonce of the last Ping that was written.
func (s *settler) pinged() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pings
}

// settledCount is the number of deliveries whose Settle has been written.
func (s *settler) settledCount() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settled
}
