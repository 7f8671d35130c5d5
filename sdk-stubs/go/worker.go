package stagewire

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	pb "stagewire.dev/sdk/go/stagewirepb"
)

// worker is what outlives connections. Exactly one of handler, batch, window and function is set.
type worker struct {
	options  options
	handler  Transform
	batch    func([]*Record) error
	window   func(*Window, *Emitter) error
	bounds   Bounds // of windows
	function func(*Source) error

	socket, stage, instance string
	token                   []byte
	config                  []byte       // as last decoded
	errors                  atomic.Int64 // of handlers, so far
	grace                   time.Duration
	signals                 chan os.Signal
	abandoned               chan int // the exit code of a worker whose handler does not come back

	said   sync.Mutex // stderr's
	stderr io.Writer

	mu        sync.Mutex
	cond      *sync.Cond
	source    *source
	session   *session
	isStopped bool          // a signal has come
	stopped   chan struct{} // closed then
}

func newWorker(handler Transform, function func(*Source) error, with []Option) *worker {
	w := &worker{handler: handler, function: function, grace: closeTimeout, signals: make(chan os.Signal, 2),
		abandoned: make(chan int, 1), stopped: make(chan struct{}), stderr: os.Stderr,
		options: options{maxFrame: defaultFrame, timeout: defaultTimeout, workers: 1}}
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

// run is the whole life of a stage program: a trial if the command line asks for one, else a worker.
func (w *worker) run() int {
	trial, err := parseTrial(os.Args[1:], w.function != nil)
	switch {
	case err != nil:
		return w.exit(2, err.Error())
	case trial != nil:
		return trial.run(w, os.Stdin, os.Stdout, os.Stderr)
	}
	signal.Notify(w.signals, syscall.SIGTERM, os.Interrupt)
	return w.main(os.Getenv, os.Stderr)
}

// ending is a decision to exit.
type ending struct {
	code    int
	message string
}

func (e *ending) Error() string { return e.message }

// main reads the environment and serves sessions until one of them decides the exit code:
//
//	0  the broker said so, a source was shut down, or a signal ended us
//	1  the connection broke under a worker that the broker's host starts; a source failed
//	2  connecting again, unchanged, cannot help: the sentence says what to do
func (w *worker) main(getenv func(string) string, stderr io.Writer) int {
	w.stderr = stderr
	w.socket, w.stage, w.instance = getenv("STAGEWIRE_SOCKET"), getenv("STAGEWIRE_STAGE"), getenv("STAGEWIRE_INSTANCE")
	token, err := hex.DecodeString(getenv("STAGEWIRE_TOKEN"))
	// Children must not inherit what lets them in under our name.
	_ = os.Unsetenv("STAGEWIRE_TOKEN")
	w.token = token
	if w.window != nil && w.options.bounds == nil {
		if err := w.bounds.check(); err != nil {
			return w.exit(2, err.Error())
		}
	}
	switch {
	case w.options.workers < 1 || w.options.workers > 1 && w.handler == nil:
		return w.exit(2, fmt.Sprintf("Workers(%d): at least 1, and more for RunTransform and RunSink only", w.options.workers))
	case w.socket == "":
		return w.exit(2, "STAGEWIRE_SOCKET is not set; start this program with `stagewire run`, or set STAGEWIRE_SOCKET and STAGEWIRE_STAGE to attach to a running broker, or try it out with --test FILE")
	case w.stage == "":
		return w.exit(2, "STAGEWIRE_STAGE is not set: it names the stage of the pipeline that this program is")
	case err != nil:
		return w.exit(2, "STAGEWIRE_TOKEN is not hexadecimal; let the broker's host set it")
	}
	result := make(chan int, 1)
	go func() { result <- w.serveSessions() }()
	for {
		select {
		case code := <-result:
			return code
		case code := <-w.abandoned:
			return code
		case received := <-w.signals:
			if code := w.takeSignal(received); code != 0 {
				return code
			}
		}
	}
}

// takeSignal makes sessions end; a second signal ends the process, with 128 + its number. SIGINT to a
// worker that the broker's host started goes to the broker as well, whose drain is what counts.
func (w *worker) takeSignal(received os.Signal) (code int) {
	if received == os.Interrupt && len(w.token) > 0 {
		return 0
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.isStopped {
		number, _ := received.(syscall.Signal)
		return 128 + int(number)
	}
	w.isStopped = true
	close(w.stopped)
	if w.session != nil {
		w.session.signal()
	}
	if w.source != nil {
		w.source.stop()
	}
	w.cond.Broadcast()
	return 0
}

// serveSessions attaches, works, and attaches again where that can help.
func (w *worker) serveSessions() int {
	delay, said := backoffFirst, time.Time{}
	for {
		wasWelcome, err := w.attempt()
		var end *ending
		if errors.As(err, &end) {
			return w.exit(end.code, end.message)
		}
		if wasWelcome {
			delay, said = backoffFirst, time.Time{}
		}
		if now := time.Now(); now.Sub(said) >= repeatedNotice {
			said = now
			w.say(printable(err.Error()) + "; trying again until the broker is there")
		}
		select {
		case <-w.stopped:
			return 0
		case <-time.After(delay*4/5 + time.Duration(rand.Int63n(int64(delay*2/5)))):
		}
		if delay *= 2; delay > backoffLimit {
			delay = backoffLimit
		}
	}
}

func (w *worker) exit(code int, message string) int {
	if message != "" {
		w.say(message)
	}
	return code
}

// say writes one line to standard error.
func (w *worker) say(message string) {
	stage := w.stage
	if stage == "" {
		stage = "(unknown)"
	}
	w.said.Lock()
	defer w.said.Unlock()
	fmt.Fprintf(w.stderr, "stagewire: stage %s: %s\n", stage, message)
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
		w.setSession(s)
		switch {
		case w.source != nil:
			err = w.serveSource(s)
		case w.batch != nil:
			err = w.serveBatches(s)
		case w.window != nil:
			err = w.serveWindows(s)
		case len(s.callers) > 1:
			err = w.servePool(s)
		default:
			err = w.serve(s)
		}
		w.setSession(nil)
		s.shut()
	}
	return welcome != nil, w.judge(err)
}

func (w *worker) setSession(s *session) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.session = s; s != nil && w.isStopped {
		s.signal()
	}
}

// watchOrphan ends a process whose session is over and whose handler does not return: after a short
// grace one that is to exit anyway or that the host started (its broker is gone or waits for it to leave),
// any other when the handler's timeout has passed, for nothing would ever be handled again.
func (w *worker) watchOrphan(s *session) {
	<-s.done
	grace := w.grace
	var final *ending
	if isFinal := errors.As(w.judge(s.reason()), &final); !isFinal && len(w.token) == 0 {
		grace += w.options.timeout
		if w.options.timeout <= 0 {
			return
		}
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-s.left:
	case <-timer.C:
		end := &ending{code: 1}
		err := w.judge(s.reason())
		if !errors.As(err, &end) {
			end.message = err.Error()
		}
		w.abandoned <- w.exit(end.code, fmt.Sprintf("the handler has not returned %v after the session ended: %s", grace, end.message))
	}
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
		return &ending{2, printable(closed.Error())}
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

// configure decodes the stage's configuration, and asks for what depends on it.
func (w *worker) configure(document []byte) error {
	if err := decodeConfig(document, w.options.config); err != nil || w.window == nil {
		return err
	}
	if w.options.bounds != nil {
		w.bounds = w.options.bounds()
	}
	return w.bounds.check()
}

// adopt takes over what a Welcome says about the stage.
func (w *worker) adopt(welcome *pb.Welcome) error {
	if string(welcome.Config) != string(w.config) || w.config == nil {
		// A source's function reads its configuration concurrently: it keeps what it began with.
		if w.source == nil || w.source.welcome == nil {
			if err := w.configure(welcome.Config); err != nil {
				return &ending{2, err.Error()}
			}
		}
		w.config = append([]byte{}, welcome.Config...)
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
