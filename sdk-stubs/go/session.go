package stagewire

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	pb "stagewire.dev/sdk/go/stagewirepb"
)

// session is one connection after its Welcome.
//
// Locks: `mu` (shared by all sessions of a worker, see worker) guards the fields below it and may be
// held while taking the settler's lock, never the other way round.
type session struct {
	conn     net.Conn
	reader   *bufio.Reader
	maxFrame uint32
	welcome  *pb.Welcome
	settler  *settler
	source   *source // nil in transforms and sinks
	received atomic.Uint64
	stopping atomic.Bool // Drain(shutdown) has come
	done     chan struct{}

	mu            *sync.Mutex
	cond          *sync.Cond
	queue         [][]Record
	inputs        map[uint32]*inputWindow
	outputs       []outputCredit
	runs          map[uint32]*pb.Run
	drainDeadline time.Time
	ended         error

	// The batch at hand; the main goroutine's own.
	batch []Record
	at    int
}

// newSession takes over a connection whose Welcome has been read.
func newSession(w *worker, conn net.Conn, reader *bufio.Reader, welcome *pb.Welcome) *session {
	s := &session{conn: conn, reader: reader, maxFrame: w.options.maxFrame, welcome: welcome, source: w.source,
		done: make(chan struct{}), mu: &w.mu, cond: w.cond, inputs: map[uint32]*inputWindow{}, runs: map[uint32]*pb.Run{}}
	// A failed write is not reported here: the reader meets the same broken connection and says so.
	s.settler = newSettler(func(frame []byte) { _, _ = conn.Write(frame) }, welcome.MaxFrame)
	for _, output := range welcome.Outputs {
		s.outputs = append(s.outputs, outputCredit{number: output.Number})
	}
	for _, input := range welcome.Inputs {
		window := newInputWindow(input, welcome.MaxRecord)
		s.inputs[input.Number] = window
		s.send(&pb.Envelope{Message: &pb.Envelope_Credit{Credit: window.grant()}})
	}
	go s.read()
	go s.extend()
	return s
}

func (s *session) send(envelope *pb.Envelope) { s.settler.send(encodeFrame(envelope)) }

// read runs until the connection ends. It never waits for a handler.
func (s *session) read() {
	err := s.readFrames()
	var local *closeError
	if errors.As(err, &local) && !local.remote {
		s.sendClose(local.code, local.message)
		_, _ = io.Copy(io.Discard, s.reader)
	}
	s.settler.close(nil)
	s.mu.Lock()
	if s.ended == nil {
		s.ended = err
	}
	s.cond.Broadcast()
	s.mu.Unlock()
	close(s.done)
}

func (s *session) readFrames() error {
	for {
		frame, err := readFrame(s.reader, s.maxFrame)
		if err != nil {
			return err
		}
		deliver, isDeliver, err := splitEnvelope(frame)
		if err != nil {
			return err
		}
		if isDeliver {
			err = s.receive(deliver)
		} else {
			err = s.handle(frame)
		}
		if err != nil {
			return err
		}
	}
}

// receive queues the records of a Deliver.
func (s *session) receive(deliver []byte) error {
	records, number, err := decodeDeliver(deliver, s)
	if err != nil || len(records) == 0 {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	window := s.inputs[number]
	if window == nil {
		return &closeError{code: UnknownPort, message: fmt.Sprintf("the broker delivered to input %d, which its Welcome does not name", number)}
	}
	for i := range records {
		if !window.receive(records[i].size) {
			return &closeError{code: CreditExceeded, message: fmt.Sprintf("the broker delivered more to input %d than this worker granted", number)}
		}
	}
	s.received.Add(uint64(len(records)))
	s.queue = append(s.queue, records)
	s.cond.Broadcast()
	return nil
}

// handle deals with a frame that carries no records. Kinds that we do not know are ignored.
func (s *session) handle(frame []byte) error {
	var envelope pb.Envelope
	if err := proto.Unmarshal(frame, &envelope); err != nil {
		return &closeError{code: MalformedFrame, message: "a frame of the broker cannot be decoded: " + err.Error()}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.cond.Broadcast()
	switch m := envelope.Message.(type) {
	case *pb.Envelope_Ping:
		s.send(&pb.Envelope{Message: &pb.Envelope_Pong{Pong: &pb.Pong{Nonce: m.Ping.Nonce}}})
	case *pb.Envelope_Credit:
		for i := range s.outputs {
			if s.outputs[i].number == m.Credit.Number {
				s.outputs[i].raise(m.Credit.Records, m.Credit.Bytes)
			}
		}
	case *pb.Envelope_Runs:
		for _, run := range m.Runs.Runs {
			s.runs[run.Number] = run
		}
	case *pb.Envelope_Drain:
		s.drain(m.Drain)
	case *pb.Envelope_Close:
		return &closeError{code: Code(m.Close.Code), message: m.Close.Message, remote: true}
	case *pb.Envelope_Claimed:
		s.source.claimed(s, m.Claimed)
	case *pb.Envelope_Committed:
		s.source.committed(m.Committed)
	}
	return nil
}

// drain: when inputs have ended there is nothing to change, for what is held is settled anyway; a
// shutdown (and any reason that we do not know) gives back what has not been started and stops sources.
func (s *session) drain(drain *pb.Drain) {
	isShutdown := drain.Reason != pb.DrainReason_DRAIN_REASON_INPUT_ENDED
	s.stopping.Store(isShutdown)
	s.drainDeadline = time.Time{} // none
	if drain.DeadlineMs > 0 {
		wait := time.Duration(drain.DeadlineMs) * time.Millisecond
		s.drainDeadline = time.Now().Add(wait)
		time.AfterFunc(wait, s.cond.Broadcast)
	}
	if isShutdown && s.source != nil {
		s.source.stop()
	}
}

func (s *session) isPastDeadline() bool {
	return !s.drainDeadline.IsZero() && !time.Now().Before(s.drainDeadline)
}

// next takes a record out of the queue. With nothing to do it first writes what is gathered. nil: the session has ended.
func (s *session) next() *Record {
	if s.at == len(s.batch) && !s.refill() {
		return nil
	}
	r := &s.batch[s.at]
	s.at++
	s.mu.Lock()
	window := s.inputs[r.input]
	window.take(r.size)
	var credit *pb.Credit
	if window.isDue() {
		credit = window.grant()
	}
	s.mu.Unlock()
	if credit != nil {
		s.send(&pb.Envelope{Message: &pb.Envelope_Credit{Credit: credit}})
	}
	return r
}

func (s *session) refill() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waitFlushed(func() bool { return len(s.queue) > 0 })
	if s.ended != nil {
		return false
	}
	s.batch, s.at = s.queue[0], 0
	s.queue[0] = nil
	s.queue = s.queue[1:]
	return true
}

// waitFlushed waits until `ready` or the end of the session, having written what is gathered: the
// broker may be waiting for just that.
func (s *session) waitFlushed(ready func() bool) {
	if s.ended != nil || ready() {
		return
	}
	s.mu.Unlock()
	s.settler.flush()
	s.mu.Lock()
	for s.ended == nil && !ready() {
		s.cond.Wait()
	}
}

// reserve waits until the broker's credit covers the charges, and uses it. false: the session has ended.
func (s *session) reserve(charges []charge) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waitFlushed(func() bool { return s.fits(charges) })
	if s.ended != nil {
		return false
	}
	s.use(charges)
	return true
}

func (s *session) fits(charges []charge) bool {
	for i, c := range charges {
		if c.records > 0 && !s.outputs[i].fits(c, s.welcome.StampReserve) {
			return false
		}
	}
	return true
}

func (s *session) use(charges []charge) {
	for i, c := range charges {
		s.outputs[i].use(c, s.welcome.StampReserve)
	}
}

// extend renews the lease while deliveries are held and no Settle does it: under a long handler, or
// while credit is awaited.
func (s *session) extend() {
	third := time.Duration(s.welcome.LeaseMs) * time.Millisecond / 3
	if third <= 0 {
		return
	}
	ticker := time.NewTicker(third)
	defer ticker.Stop()
	var before uint64
	for {
		select {
		case <-s.done:
			return
		case <-ticker.C:
		}
		settled := s.settler.settledCount()
		if settled == before && s.received.Load() > settled {
			s.send(&pb.Envelope{Message: &pb.Envelope_Extend{Extend: &pb.Extend{}}})
		}
		before = settled
	}
}

// run finds what a hop's number stands for.
func (s *session) run(number uint32) *pb.Run {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.runs[number]
}

// sendClose writes our last frame and reads on until the broker hangs up, at most closeTimeout.
func (s *session) sendClose(code Code, message string) {
	s.settler.close(encodeFrame(&pb.Envelope{Message: &pb.Envelope_Close{Close: &pb.Close{Code: uint32(code), Message: cutText(message)}}}))
	_ = s.conn.SetReadDeadline(time.Now().Add(closeTimeout))
}

// shut ends the connection and waits for the reader.
func (s *session) shut() {
	_ = s.conn.Close()
	<-s.done
}
