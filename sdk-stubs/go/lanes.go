package stagewire

import (
	pb "stagewire.dev/sdk/go/stagewirepb"
)

// lane is what the broker keeps in order: the records of a key, or all of an input.
type lane struct {
	input uint32
	key   string
}

// orderings are those of a session's inputs, by number.
type orderings map[uint32]pb.Ordering

func orderingsOf(welcome *pb.Welcome) orderings {
	o := orderings{}
	for _, input := range welcome.Inputs {
		o[input.Number] = input.Ordering
	}
	return o
}

// laneOf says which lane a record is in; false: its input has no order, or the record no key.
func (o orderings) laneOf(r *Record) (lane, bool) {
	switch o[r.input] {
	case pb.Ordering_ORDERING_NONE:
		return lane{}, false
	case pb.Ordering_ORDERING_KEY:
		return lane{r.input, string(r.Key())}, r.key.length > 0
	}
	return lane{r.input, ""}, true // an ordering that we do not know is TOTAL (HS-6)
}

// closedLanes are the lanes of which something was given back. The broker has voided what it had delivered
// of them behind that (OR-3) and delivers it anew: a handler that got it now would work out of order, and
// twice. So it is released; and as the broker may not have voided it (a record whose last attempt has failed
// comes not again, and voids nothing), this gives it back as well. A Ping behind each such Settle tells where
// that ends, with the last of their Pongs:
//
//	worker:  Settle(RETRY 1) Ping(7)         Settle(RELEASED 2, 3) Ping(8)
//	broker:                  2   3   Pong(7)                       Pong(8)   4 (1 anew)   5 (2 anew) ...: handled
//
// Who handles the records has it to itself, or with Workers behind the session's lock: a Pong counts where it stands among the Delivers, which is
// told with each of them (see arrival).
type closedLanes struct {
	opensAt  map[lane]uint64 // the Ping whose Pong opens it
	closings []closing       // their Pings ascend
}

type closing struct {
	lane lane
	ping uint64
}

// close keeps a lane closed until the Pong of `ping`, whatever closed it before.
func (c *closedLanes) close(l lane, ping uint64) {
	if c.opensAt[l] == ping {
		return
	}
	if c.opensAt == nil {
		c.opensAt = map[lane]uint64{}
	}
	c.opensAt[l] = ping
	c.closings = append(c.closings, closing{l, ping})
}

// open opens what waited for Pongs up to this one.
func (c *closedLanes) open(pong uint64) {
	n := 0
	for ; n < len(c.closings) && c.closings[n].ping <= pong; n++ {
		if one := c.closings[n]; c.opensAt[one.lane] <= pong {
			delete(c.opensAt, one.lane)
		}
	}
	c.closings = c.closings[n:]
}

// isVoid says whether a record that was just taken out of the queue is to be left alone.
func (s *session) isVoid(r *Record) bool {
	if len(s.closed.opensAt) == 0 {
		return false
	}
	l, isOrdered := s.ordering.laneOf(r)
	return isOrdered && s.closed.opensAt[l] != 0
}

// releaseVoid settles a record that isVoid says to leave alone, or that is behind one that was given back.
func (s *session) releaseVoid(r *Record) {
	ping := s.settler.release(r.delivery)
	if l, isOrdered := s.ordering.laneOf(r); isOrdered {
		s.closed.close(l, ping)
	}
}

// settle passes one verdict on records. One that gives them back closes their lanes.
func (s *session) settle(records []*Record, why *verdict) {
	var lanes []lane
	if why.givesBack() {
		for _, record := range records {
			if l, isOrdered := s.ordering.laneOf(record); isOrdered {
				lanes = append(lanes, l)
			}
		}
	}
	if len(lanes) == 0 {
		s.settler.settle(spansOf(records), why.outcome(), nil)
		return
	}
	ping := s.settler.giveBack(spansOf(records), why.outcome())
	for _, l := range lanes {
		s.closed.close(l, ping)
	}
}
