package stagewire

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	pb "stagewire.dev/sdk/go/stagewirepb"
)

// Option changes how a stage runs.
type Option func(*options)

type options struct {
	version  string
	maxFrame uint32
	config   any
}

// Version is the author's own version of the stage, shown in lineage; at most 128 bytes.
func Version(version string) Option { return func(o *options) { o.version = version } }

// Config decodes the stage's configuration (`config:` in pipeline.yaml) into the value that `target`
// points to, as encoding/json does, before the first record.
func Config(target any) Option { return func(o *options) { o.config = target } }

// MaxFrame is the largest frame to accept, in bytes; for pipelines with a large max_record. Default 4 MiB.
func MaxFrame(bytes uint32) Option { return func(o *options) { o.maxFrame = bytes } }

// Transform handles one record: what it emits and the settlement of the record are one step. A nil
// error accepts the record (without emissions: filters it); see Reject, Retry and Release. Any other
// error, and a panic, ask for another attempt.
type Transform func(record *Record, out *Emitter) error

// RunTransform runs a transform stage until the pipeline ends, and returns the exit code for os.Exit.
func RunTransform(handler Transform, with ...Option) int {
	return newWorker(handler, nil, with).main(os.Getenv, os.Stderr)
}

// RunSink runs a stage that emits nothing. See RunTransform.
func RunSink(handler func(record *Record) error, with ...Option) int {
	return RunTransform(func(record *Record, _ *Emitter) error { return handler(record) }, with...)
}

// RunSource runs a source stage. When `function` returns nil, all partitions are finished.
func RunSource(function func(*Source) error, with ...Option) int {
	return newWorker(nil, function, with).main(os.Getenv, os.Stderr)
}

// worker is what outlives connections.
type worker struct {
	options  options
	handler  Transform
	function func(*Source) error
	stderr   io.Writer

	socket, stage, instance string
	token                   []byte
	config                  []byte // as last decoded
	panics                  int

	mu     sync.Mutex
	cond   *sync.Cond
	source *source
}

func newWorker(handler Transform, function func(*Source) error, with []Option) *worker {
	w := &worker{handler: handler, function: function, options: options{maxFrame: defaultFrame}}
	w.cond = sync.NewCond(&w.mu)
	for _, option := range with {
		option(&w.options)
	}
	if w.options.maxFrame > ceilingFrame {
		w.options.maxFrame = ceilingFrame
	}
	if function != nil {
		w.source = &source{mu: &w.mu, cond: w.cond}
		w.source.context, w.source.cancel = context.WithCancel(context.Background())
	}
	return w
}

// ending is a decision to exit.
type ending struct {
	code    int
	message string
}

func (e *ending) Error() string { return e.message }

// main reads the environment and serves sessions until one of them decides the exit code:
//
//	0  the broker said so, or a source was shut down
//	1  the connection broke under a worker that the broker's host starts; a source failed
//	2  connecting again, unchanged, cannot help: the sentence says what to do
func (w *worker) main(getenv func(string) string, stderr io.Writer) int {
	w.stderr = stderr
	w.socket, w.stage, w.instance = getenv("STAGEWIRE_SOCKET"), getenv("STAGEWIRE_STAGE"), getenv("STAGEWIRE_INSTANCE")
	token, err := hex.DecodeString(getenv("STAGEWIRE_TOKEN"))
	// Children must not inherit what lets them in under our name.
	_ = os.Unsetenv("STAGEWIRE_TOKEN")
	w.token = token
	switch {
	case w.socket == "":
		return w.exit(2, "STAGEWIRE_SOCKET is not set; start this program with `stagewire run`, or set STAGEWIRE_SOCKET and STAGEWIRE_STAGE to attach to a running broker")
	case w.stage == "":
		return w.exit(2, "STAGEWIRE_STAGE is not set: it names the stage of the pipeline that this program is")
	case err != nil:
		return w.exit(2, "STAGEWIRE_TOKEN is not hexadecimal; let the broker's host set it")
	}
	delay := backoffFirst
	for {
		wasWelcome, err := w.attempt()
		var end *ending
		if errors.As(err, &end) {
			return w.exit(end.code, end.message)
		}
		if wasWelcome {
			delay = backoffFirst
		}
		pause := delay*4/5 + time.Duration(rand.Int63n(int64(delay*2/5)))
		fmt.Fprintf(stderr, "stagewire: stage %s: %v; trying again in %d ms\n", w.stage, err, pause.Milliseconds())
		time.Sleep(pause)
		if delay *= 2; delay > backoffLimit {
			delay = backoffLimit
		}
	}
}

func (w *worker) exit(code int, message string) int {
	if message != "" {
		stage := w.stage
		if stage == "" {
			stage = "(unknown)"
		}
		fmt.Fprintf(w.stderr, "stagewire: stage %s: %s\n", stage, message)
	}
	return code
}

// attempt is one connection from beginning to end. Its error is an *ending, or a reason to try again.
func (w *worker) attempt() (wasWelcome bool, err error) {
	conn, reader, welcome, err := w.connect()
	if err == nil {
		if err = w.adopt(welcome); err != nil {
			_ = conn.Close()
			return true, err
		}
		s := newSession(w, conn, reader, welcome)
		if w.source != nil {
			err = w.serveSource(s)
		} else {
			err = w.serve(s)
		}
		s.shut()
	}
	return welcome != nil, w.judge(err)
}

// judge decides whether to exit.
func (w *worker) judge(err error) error {
	var closed *closeError
	var end *ending
	switch {
	case errors.As(err, &end):
		return err
	case errors.As(err, &closed):
		if closed.remote && closed.code == OK {
			return &ending{code: 0}
		}
		if closed.code.IsRetryable() {
			return err
		}
		return &ending{2, closed.Error()}
	case len(w.token) > 0:
		if errors.Is(err, io.EOF) {
			return &ending{1, "the broker hung up without a Close"}
		}
		return &ending{1, "the connection to the broker broke: " + err.Error()}
	case errors.Is(err, io.EOF):
		return errors.New("the broker hung up without a Close")
	}
	return err
}

// connect dials, says Hello and reads the answer.
func (w *worker) connect() (net.Conn, *bufio.Reader, *pb.Welcome, error) {
	conn, err := net.Dial("unix", w.socket)
	if err != nil {
		return nil, nil, nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(handshakeTimeout))
	_, err = conn.Write(encodeFrame(&pb.Envelope{Message: &pb.Envelope_Hello{Hello: &pb.Hello{
		MinVersion: protocolVersion, MaxVersion: protocolVersion, Stage: w.stage, Instance: w.instance,
		StageVersion: w.options.version, MaxFrame: uint64(w.options.maxFrame), Token: w.token,
		Sdk: sdkName, Language: "go",
	}}}))
	reader := bufio.NewReaderSize(conn, 64*1024)
	var welcome *pb.Welcome
	if err == nil {
		welcome, err = w.readWelcome(reader)
	}
	if err == nil {
		_ = conn.SetDeadline(time.Time{})
		return conn, reader, welcome, nil
	}
	var closed *closeError
	if errors.As(err, &closed) && !closed.remote {
		_, _ = conn.Write(encodeFrame(&pb.Envelope{Message: &pb.Envelope_Close{
			Close: &pb.Close{Code: uint32(closed.code), Message: cutText(closed.message)}}}))
	}
	_ = conn.Close()
	return nil, nil, nil, err
}

// readWelcome reads the answer to Hello; kinds that we do not know are ignored.
func (w *worker) readWelcome(reader *bufio.Reader) (*pb.Welcome, error) {
	for {
		frame, err := readFrame(reader, w.options.maxFrame)
		if err != nil {
			return nil, err
		}
		if _, _, err = splitEnvelope(frame); err != nil {
			return nil, err
		}
		var envelope pb.Envelope
		if err = proto.Unmarshal(frame, &envelope); err != nil {
			return nil, &closeError{code: MalformedFrame, message: "the broker's answer to Hello cannot be decoded: " + err.Error()}
		}
		switch m := envelope.Message.(type) {
		case nil:
		case *pb.Envelope_Welcome:
			if m.Welcome.Version != protocolVersion {
				return nil, &closeError{code: UnsupportedVersion, message: fmt.Sprintf(
					"the broker chose protocol %d, this worker offered %d only", m.Welcome.Version, protocolVersion)}
			}
			return m.Welcome, nil
		case *pb.Envelope_Close:
			return nil, &closeError{code: Code(m.Close.Code), message: m.Close.Message, remote: true}
		default:
			return nil, &closeError{code: UnexpectedMessage, message: "the broker answered Hello with something else than Welcome or Close"}
		}
	}
}

// adopt takes over what a Welcome says about the stage.
func (w *worker) adopt(welcome *pb.Welcome) error {
	if w.options.config != nil && len(welcome.Config) > 0 && string(welcome.Config) != string(w.config) {
		// A source's function reads its configuration concurrently: it keeps what it began with.
		if w.source == nil || w.source.welcome == nil {
			if err := json.Unmarshal(welcome.Config, w.options.config); err != nil {
				return &ending{2, "the stage's `config` in the pipeline does not fit this program: " + err.Error()}
			}
		}
		w.config = welcome.Config
	}
	if w.source == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if before := w.source.welcome; before != nil && portNames(before) != portNames(welcome) {
		return &ending{1, "the stage's outputs have changed; start the source again"}
	}
	w.source.welcome = welcome
	return nil
}

// serve handles records until the session ends.
func (w *worker) serve(s *session) error {
	emitter := newEmitter(s.welcome, 4)
	for {
		record := s.next()
		if record == nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.ended
		}
		if s.stopping.Load() {
			w.settle(s, record, &verdict{kind: pb.OutcomeKind_OUTCOME_KIND_RELEASED}, nil)
			continue
		}
		emitter.reset()
		failure := w.call(record, emitter)
		if failure == nil && !emitter.isEmpty() || emitter.failure != nil {
			if refused := emitter.check(); failure == nil {
				failure = refused
			}
		}
		w.settle(s, record, failure, emitter)
	}
}

func (w *worker) settle(s *session, record *Record, failure *verdict, emitter *Emitter) {
	switch {
	case failure != nil:
		s.settler.settle([]span{{record.delivery, record.delivery}}, failure.outcome(), nil)
	case emitter.isEmpty():
		s.settler.accept(record.delivery)
	case s.reserve(emitter.charges):
		s.settler.settleOne(record.delivery, emitter.body)
	}
}

// call runs the handler. A panic costs the record an attempt, not the process its life.
func (w *worker) call(record *Record, emitter *Emitter) (failure *verdict) {
	defer func() {
		if value := recover(); value != nil {
			failure = verdictOfPanic(value)
			if w.panics++; w.panics <= 10 {
				fmt.Fprintf(w.stderr, "stagewire: stage %s: the handler panicked: %v\n%s", w.stage, value, debug.Stack())
			}
		}
	}()
	if err := w.handler(record, emitter); err != nil {
		return verdictOf(err)
	}
	return nil
}

// serveSource attaches a source to a session and waits for its end.
func (w *worker) serveSource(s *session) error {
	src := w.source
	defer func() {
		src.mu.Lock()
		src.session = nil
		src.mu.Unlock()
	}()
	src.attach(s)
	if w.function != nil {
		go src.run(w.function)
		w.function = nil
	}
	src.mu.Lock()
	defer src.mu.Unlock()
	for {
		switch {
		case src.isDone && src.result != nil && !errors.Is(src.result, ErrStopped):
			return &ending{1, "the source failed: " + src.result.Error()}
		case src.fatal != nil:
			return &ending{1, src.fatal.Error()}
		case s.ended != nil:
			return s.ended
		case src.isStopped && ((src.isDone && src.isDrained()) || s.isPastDeadline()):
			return w.leave(s)
		case src.isDone && !src.isStopped:
			for _, p := range src.partitions {
				p.isFinished = true
			}
		}
		for _, p := range src.partitions {
			p.tellFinished()
		}
		src.cond.Wait()
	}
}

// leave says Close(0) and waits for the broker to hang up. Called with the lock held.
func (w *worker) leave(s *session) error {
	s.sendClose(OK, "the source has stopped")
	for s.ended == nil {
		w.cond.Wait()
	}
	return &ending{code: 0}
}

// run is the author's function; a panic is its error.
func (src *source) run(function func(*Source) error) {
	var err error
	defer func() {
		if value := recover(); value != nil {
			err = fmt.Errorf("panic: %v\n%s", value, debug.Stack())
		}
		src.mu.Lock()
		src.isDone, src.result = true, err
		src.cond.Broadcast()
		src.mu.Unlock()
	}()
	handle := &Source{src}
	if err = function(handle); err == nil {
		err = src.claimOwn(handle)
	}
}
