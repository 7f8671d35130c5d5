package stagewire

import (
	"bufio"
	"context"
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
	conn      net.Conn
	reader    *bufio.Reader
	maxFrame  uint32
	welcome   *pb.Welcome
	settler   *settler
	confirmer *confirmer
	source    *source // nil in transforms and sinks
	received  atomic.Uint64
	texts     texts
	stopping  atomic.Bool // nothing new is begun: Drain(shutdown) has come, or a signal, or the session is over
	main      caller
	callers   []*caller       // `main`, and more of Workers
	context   context.Context // ends with the session, or when it stops; nil in trials
	cancel    context.CancelFunc
	timeout   time.Duration // of a handler
	grace     time.Duration // of the broker, to hang up after our Close
	warn      func(message string)
	done      chan struct{} // the reader has ended
	left      chan struct{} // and so has whoever handles what it read

	mu            *sync.Mutex
	cond          *sync.Cond
	queue         []arrival
	ponged        uint64 // the last Ping that the broker has answered
	inputs        map[uint32]*inputWindow
	outputs       []outputCredit
	runs          map[uint32]*pb.Run
	drain         pb.DrainReason // 0: none has come
	hasDrained    bool           // windows have been told
	drainDeadline time.Time
	isSignalled   bool       // this process was told to end
	claims        [][]charge // of outcomes that wait for credit, the longest first
	ended         error

	// The batch at hand; the main goroutine's own, or behind the lock with Workers.
	batch  []Record
	at     int
	window *inputWindow // of the batch's input

	ordering orderings
	closed   closedLanes // the same
}

// arrival is what one Deliver brought.
type arrival struct {
	records []Record
	ponged  uint64 // the last Ping that the broker had answered before
}

// newSession takes over a connection whose Welcome has been read.
func newSession(w *worker, conn net.Conn, reader *bufio.Reader, welcome *pb.Welcome) *session {
	s := &session{conn: conn, reader: reader, maxFrame: w.options.maxFrame, welcome: welcome, source: w.source,
		timeout: w.options.timeout, grace: w.grace, warn: w.say, done: make(chan struct{}), left: make(chan struct{}), mu: &w.mu, cond: w.cond,
		inputs: map[uint32]*inputWindow{}, runs: map[uint32]*pb.Run{}, ordering: orderingsOf(welcome)}
	if welcome.MaxFrame > 0 && welcome.MaxFrame < uint64(s.maxFrame) {
		s.maxFrame = uint32(welcome.MaxFrame) // what is in force (LM-1)
	}
	for s.callers = append(s.callers, &s.main); len(s.callers) < w.options.workers; {
		s.callers = append(s.callers, &caller{})
	}
	s.context, s.cancel = context.WithCancel(context.Background())
	s.confirmer = newConfirmer(w.say)
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
	go s.extend(w.options.timeout)
	go w.watchOrphan(s)
	return s
}

func (s *session) send(envelope *pb.Envelope) { s.settler.send(encodeFrame(envelope)) }

// read runs until the connection ends. It never waits for a handler.
func (s *session) read() {
	err := s.readFrames()
	local := localClose(err)
	if local != nil {
		s.limitIO() // before the locks: a writer that waits for the broker may hold them
	}
	s.end(err) // before the broker hangs up: what it has delivered is not to be begun any more
	if local != nil {
		s.sendClose(local.code, local.message)
		_, _ = io.Copy(io.Discard, s.reader)
	}
	s.settler.close(nil)
	close(s.done)
}

// end lets whoever handles records go: what is not begun will be delivered to somebody else.
func (s *session) end(err error) {
	s.stopping.Store(true)
	s.mu.Lock()
	if s.ended == nil {
		s.ended = err
	}
	s.cond.Broadcast()
	s.mu.Unlock()
	s.cancel()
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
		if !window.receive(int(records[i].size)) {
			return &closeError{code: CreditExceeded, message: fmt.Sprintf("the broker delivered more to input %d than this worker granted", number)}
		}
	}
	s.received.Add(uint64(len(records)))
	s.queue = append(s.queue, arrival{records, s.ponged})
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
	case *pb.Envelope_Pong:
		if nonce := m.Pong.Nonce; nonce > s.ponged && nonce <= s.settler.pinged() {
			s.ponged = nonce
		}
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
	case *pb.Envelope_Settled:
		s.reportRefusals(m.Settled.Refused)
		s.confirmer.run(s.settler.confirmed(m.Settled))
	case *pb.Envelope_Drain:
		s.takeDrain(m.Drain)
	case *pb.Envelope_Close:
		return &closeError{code: Code(m.Close.Code), message: m.Close.Message, remote: true}
	case *pb.Envelope_Claimed:
		s.source.claimed(s, m.Claimed)
	case *pb.Envelope_Committed:
		s.source.committed(m.Committed)
	}
	return nil
}

// takeDrain: when inputs have ended there is nothing to change but windows, for what else is held is
// settled anyway; a shutdown (and any reason that we do not know) gives back what has not been started
// and stops sources.
func (s *session) takeDrain(drain *pb.Drain) {
	isShutdown := drain.Reason != pb.DrainReason_DRAIN_REASON_INPUT_ENDED
	s.drain = pb.DrainReason_DRAIN_REASON_INPUT_ENDED
	if isShutdown {
		s.drain = pb.DrainReason_DRAIN_REASON_SHUTDOWN
	}
	s.stopping.Store(isShutdown || s.isSignalled)
	s.drainDeadline = time.Time{} // none
	if drain.DeadlineMs > 0 {
		s.endBy(time.Duration(drain.DeadlineMs) * time.Millisecond)
	}
	if isShutdown {
		s.cancel()
		if s.source != nil {
			s.source.stop()
		}
	}
}

// signal makes the session end: what is at hand is finished, the rest given back. Called with the lock held.
func (s *session) signal() {
	s.isSignalled = true
	s.stopping.Store(true)
	if s.drainDeadline.IsZero() {
		s.endBy(stopTimeout)
	}
	s.cancel()
}

func (s *session) endBy(wait time.Duration) {
	s.drainDeadline = time.Now().Add(wait)
	time.AfterFunc(wait, s.cond.Broadcast)
}

// reportRefusals says what the broker made dead letters of although we had accepted it.
func (s *session) reportRefusals(refused []*pb.Refusal) {
	for _, one := range refused {
		s.warn(fmt.Sprintf("the broker refused what delivery %d emitted, which is a dead letter now: %s [%s]",
			one.Id, printable(one.GetError().GetMessage()), Code(one.GetError().GetCode())))
	}
}

func (s *session) isPastDeadline() bool {
	return !s.drainDeadline.IsZero() && !time.Now().Before(s.drainDeadline)
}

// next takes a record out of the queue. With nothing to do it first writes what is gathered. nil: the
// session has ended, or this process was told to.
func (s *session) next() *Record {
	if s.at == len(s.batch) {
		if s.batch, s.at = s.nextBatch(), 0; s.batch == nil {
			return nil
		}
	}
	r := &s.batch[s.at]
	if s.at == 0 {
		s.window = s.inputs[r.input]
	}
	s.at++
	s.window.take(int(r.size))
	s.grantIfDue(s.window)
	return r
}

// grantIfDue sends a grant when it is time to. What it reads is written by this goroutine only; what it
// writes, the reader reads.
func (s *session) grantIfDue(window *inputWindow) {
	if window.isDue() {
		s.mu.Lock()
		credit := window.grant()
		s.mu.Unlock()
		s.send(&pb.Envelope{Message: &pb.Envelope_Credit{Credit: credit}})
	}
}

// nextBatch takes the records of one Deliver out of the queue, without counting them as taken.
func (s *session) nextBatch() []Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waitFlushed(&s.main, func() bool { return len(s.queue) > 0 || s.isSignalled })
	if s.ended != nil || s.isSignalled {
		return nil
	}
	return s.dequeue()
}

// dequeue takes what one Deliver brought; the Pongs before it count from now on. Called with the lock held.
func (s *session) dequeue() []Record {
	first := s.queue[0]
	s.queue[0] = arrival{}
	s.queue = s.queue[1:]
	s.closed.open(first.ponged)
	return first.records
}

// take counts all records of a batch as taken, and grants more if it is time to.
func (s *session) take(batch []Record) {
	window := s.inputs[batch[0].input]
	for i := range batch {
		window.take(int(batch[i].size))
	}
	s.grantIfDue(window)
}

// waitFlushed waits until `ready` or the end of the session, having written what is gathered: the
// broker may be waiting for just that.
func (s *session) waitFlushed(c *caller, ready func() bool) {
	if s.ended != nil || ready() {
		return
	}
	c.working.Store(0)
	s.mu.Unlock()
	s.settler.flush()
	s.mu.Lock()
	for s.ended == nil && !ready() {
		s.cond.Wait()
	}
}

// reserve waits until the broker's credit covers the charges, and uses it. false: the session has ended,
// or this process was told to end while it waited. Nobody keeps a part of the credit while it waits for the
// rest, and a large outcome is not overtaken by small ones for ever: see isFirst.
//
// A single caller asks for the lock only when it may have to wait, for nobody else uses credit then. (Sources do not
// come here.)
func (s *session) reserve(c *caller, charges []charge) bool {
	if len(s.callers) == 1 && !s.stopping.Load() && s.fits(charges) {
		s.use(charges)
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.claims) > 0 || !s.fits(charges) {
		s.claims = append(s.claims, charges)
		s.waitFlushed(c, func() bool { return s.isFirst(charges) && s.fits(charges) || s.isSignalled })
		s.withdraw(charges)
	}
	if s.ended != nil || !s.fits(charges) {
		return false
	}
	s.use(charges)
	return true
}

// isFirst says whether no outcome that has waited longer wants credit of the same output.
func (s *session) isFirst(charges []charge) bool {
	for _, earlier := range s.claims {
		if &earlier[0] == &charges[0] {
			break
		}
		for i := range earlier {
			if earlier[i].records > 0 && charges[i].records > 0 {
				return false
			}
		}
	}
	return true
}

// withdraw ends the waiting of an outcome; others may go then.
func (s *session) withdraw(charges []charge) {
	for i, claim := range s.claims {
		if &claim[0] == &charges[0] {
			s.claims = append(s.claims[:i], s.claims[i+1:]...)
			break
		}
	}
	if len(s.claims) > 0 {
		s.cond.Broadcast()
	}
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

// run finds what a hop's number stands for.
func (s *session) run(number uint32) *pb.Run {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.runs[number]
}

// sendClose writes our last frame, after which the reader goes on until the broker hangs up, for a
// while (EN-1). false: the session had its last frame before.
func (s *session) sendClose(code Code, message string) bool {
	s.limitIO()
	return s.settler.close(encodeFrame(&pb.Envelope{Message: &pb.Envelope_Close{Close: &pb.Close{Code: uint32(code), Message: cutText(message)}}}))
}

// limitIO bounds what is still read and written, by a broker that does not read, too.
func (s *session) limitIO() { _ = s.conn.SetDeadline(time.Now().Add(s.grace)) }

// leave gives back everything that is still held, by saying Close(0), and waits for the broker to hang up.
func (s *session) leave(message string) error {
	s.settler.flush()
	isLast := s.sendClose(OK, message)
	<-s.done
	if local := localClose(s.reason()); local != nil && !isLast {
		return local // it had to be said before ours
	}
	return &ending{code: 0}
}

// reason is why the session has ended; nil while it has not.
func (s *session) reason() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// shut ends the connection and waits for the reader.
func (s *session) shut() {
	close(s.left)
	if localClose(s.reason()) == nil {
		_ = s.conn.Close()
	} // else the broker reads our Close first: a socket with unread bytes would take it along
	<-s.done
	_ = s.conn.Close()
	s.confirmer.finish()
}
