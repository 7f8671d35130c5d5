package stagewire

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	pb "stagewire.dev/sdk/go/stagewirepb"
)

// trial runs a stage without a broker: records as JSON in, emissions as JSON out.
type trial struct {
	file   string // "-": standard input; a source has none
	config string
	limit  int // records that a source prints

	worker         *worker
	stdout         *bufio.Writer
	emitter        *Emitter
	session        *session
	number         int // of the record that was read last
	numbers        map[*Record]int
	counts         map[pb.OutcomeKind]int
	filtered, sent int
}

const trialUsage = "--test FILE reads records as JSON from FILE (-: standard input), a source takes --test alone; --config JSON or @FILE and, for sources, --limit N may stand with it"

// parseTrial looks for --test among the arguments; nil: it is not there, and the arguments are the author's.
func parseTrial(arguments []string, isSource bool) (*trial, error) {
	t := &trial{config: "{}", limit: 100}
	isAsked := false
	for i := 0; i < len(arguments); i++ {
		name, value, hasValue := strings.Cut(arguments[i], "=")
		switch name {
		case "--test", "--config", "--limit":
		default:
			continue
		}
		isAsked = isAsked || name == "--test"
		isFlag := name == "--test" && isSource
		if !hasValue && !isFlag {
			if i++; i == len(arguments) {
				if !isAsked {
					return nil, nil
				}
				return nil, errors.New(name + " lacks its value: " + trialUsage)
			}
			value = arguments[i]
		}
		if err := t.set(name, value); err != nil && isAsked {
			return nil, err
		}
	}
	if !isAsked {
		return nil, nil
	}
	return t, nil
}

func (t *trial) set(name, value string) error {
	switch name {
	case "--test":
		t.file = value
	case "--config":
		t.config = value
	case "--limit":
		limit, err := strconv.Atoi(value)
		if err != nil || limit < 1 {
			return fmt.Errorf("--limit %s: expected a number of records, at least 1", value)
		}
		t.limit = limit
	}
	return nil
}

// run returns the exit code: 0 all were accepted, 1 not all, 2 the file or the configuration is wrong.
func (t *trial) run(w *worker, stdin io.Reader, stdout, stderr io.Writer) int {
	w.stderr, w.stage = stderr, "test"
	t.worker, t.stdout = w, bufio.NewWriter(stdout)
	defer t.stdout.Flush()
	t.numbers, t.counts = map[*Record]int{}, map[pb.OutcomeKind]int{}
	if err := t.configure(); err != nil {
		return w.exit(2, err.Error())
	}
	if w.source != nil {
		return t.runSource(stderr)
	}
	welcome := defaultWelcome()
	t.session = &session{mu: &w.mu, welcome: welcome, runs: map[uint32]*pb.Run{}}
	t.emitter = newEmitter(welcome, 4)
	t.emitter.anyPort = true
	input, name := stdin, "standard input"
	if t.file != "-" {
		file, err := os.Open(t.file)
		if err != nil {
			return w.exit(2, err.Error())
		}
		defer file.Close()
		input, name = file, t.file
	}
	if err := t.handleAll(input, name); err != nil {
		return w.exit(2, err.Error())
	}
	t.stdout.Flush()
	fmt.Fprintln(stderr, t.summary())
	if t.number != t.counts[pb.OutcomeKind_OUTCOME_KIND_ACCEPTED] {
		return 1
	}
	return 0
}

func (t *trial) configure() error {
	document := []byte(t.config)
	if strings.HasPrefix(t.config, "@") {
		var err error
		if document, err = os.ReadFile(t.config[1:]); err != nil {
			return fmt.Errorf("--config: %w", err)
		}
	}
	return t.worker.configure(document)
}

// handleAll gives every line's record to the handler. Its error has the place in the file.
func (t *trial) handleAll(input io.Reader, name string) error {
	reader := bufio.NewReaderSize(input, 64*1024)
	windows := newAssembler(t.worker.bounds)
	for number := 1; ; number++ {
		line, readError := reader.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			record, err := t.record(line)
			if err != nil {
				return fmt.Errorf("%s:%d: %w", name, number, err)
			}
			t.handle(record, windows)
		}
		if readError == io.EOF {
			break
		} else if readError != nil {
			return fmt.Errorf("%s:%d: %w", name, number, readError)
		}
	}
	windows.endAll(time.Now())
	t.giveReady(windows)
	return nil
}

// record is a line's record, as if it had been delivered.
func (t *trial) record(line []byte) (*Record, error) {
	read, err := parseRecord(line)
	if err != nil {
		return nil, err
	}
	if problem := read.output.problem(); problem != "" {
		return nil, errors.New("a record with " + problem)
	}
	t.number++
	encoded := read.output.appendTo(nil)
	if read.lineage != nil {
		lineage, err := proto.Marshal(read.lineage)
		if err != nil {
			return nil, fmt.Errorf("lineage: %w", err)
		}
		encoded = append(encoded, wrap(lineage, 0, 1)...)
	}
	record, err := decodeRecord(encoded)
	if err != nil {
		return nil, err
	}
	stage, port, _ := strings.Cut(read.input, ".")
	session := &session{mu: t.session.mu, welcome: &pb.Welcome{Inputs: []*pb.Input{{Stage: stage, Port: port}}}, runs: map[uint32]*pb.Run{}}
	for _, run := range read.runs {
		session.runs[run.Number] = run
	}
	record.origin.session, record.attempt, record.delivery = session, read.attempt, uint64(t.number)
	t.numbers[record] = t.number
	return record, nil
}

func (t *trial) handle(record *Record, windows *assembler) {
	w := t.worker
	switch {
	case w.window != nil:
		// Time stands still: what ends by `Duration` or by idleness ends with the file.
		if refused := windows.add(record, time.Time{}); refused != nil {
			t.book(refused, record)
		}
		t.giveReady(windows)
		return
	case w.batch != nil:
		failure := w.call(t.session, &t.session.main, func() error { return w.batch([]*Record{record}) })
		t.book(failure, record)
		return
	}
	t.emitter.reset()
	failure := w.call(t.session, &t.session.main, func() error { return w.handler(record, t.emitter) })
	if failure == nil {
		failure = t.emitter.check()
	}
	t.book(failure, record)
	if failure == nil {
		t.print()
	}
}

func (t *trial) giveReady(windows *assembler) {
	for _, window := range windows.ready {
		failure, _, rejected := t.worker.handleWindow(t.session, window, t.emitter)
		why := map[*Record]*verdict{}
		for _, one := range rejected {
			why[one.record] = one.why
		}
		for _, record := range window.Records {
			if failure != nil {
				why[record] = failure
			}
			t.book(why[record], record)
		}
		if failure == nil {
			t.print()
		}
	}
	windows.ready = nil
}

// book counts one record's verdict, and says it unless the record was accepted.
func (t *trial) book(why *verdict, record *Record) {
	number := t.numbers[record]
	delete(t.numbers, record)
	kind := pb.OutcomeKind_OUTCOME_KIND_ACCEPTED
	if why != nil {
		kind = why.kind
	}
	t.counts[kind]++
	switch kind {
	case pb.OutcomeKind_OUTCOME_KIND_ACCEPTED:
		if why != nil || t.emitter.isEmpty() {
			t.filtered++
		}
		return
	case pb.OutcomeKind_OUTCOME_KIND_RELEASED:
		t.line(fmt.Sprintf("record %d: RELEASED", number))
		return
	}
	word := strings.TrimPrefix(kind.String(), "OUTCOME_KIND_")
	t.line(fmt.Sprintf("record %d: %s %d: %s", number, word, why.code, why.message))
}

func (t *trial) line(text string) {
	t.stdout.Flush() // in the order in which things happened, where both are one terminal
	fmt.Fprintln(t.worker.stderr, text)
}

// print writes what the emitter has gathered.
func (t *trial) print() {
	var outcome pb.Outcome
	if err := unmarshalOutcome(t.emitter.body, &outcome); err != nil {
		panic("stagewire: emissions that we encoded cannot be decoded: " + err.Error())
	}
	for _, emission := range outcome.Emissions {
		output := recordFromMessage(emission.Output).Output()
		port := ""
		if emission.Port > 0 {
			port = t.emitter.welcome.Outputs[emission.Port].Port
		}
		_, _ = t.stdout.Write(append(output.appendJSON(nil, port), '\n'))
		t.sent++
	}
}

func (t *trial) summary() string {
	return fmt.Sprintf("%d records: %d accepted (%d filtered), %d rejected, %d to be retried, %d released; %d emitted", t.number,
		t.counts[pb.OutcomeKind_OUTCOME_KIND_ACCEPTED], t.filtered, t.counts[pb.OutcomeKind_OUTCOME_KIND_REJECTED],
		t.counts[pb.OutcomeKind_OUTCOME_KIND_RETRY], t.counts[pb.OutcomeKind_OUTCOME_KIND_RELEASED], t.sent)
}

// runSource runs a source from empty checkpoints until it ends or has emitted enough.
func (t *trial) runSource(stderr io.Writer) int {
	src := t.worker.source
	src.trial, src.welcome = t, defaultWelcome()
	t.emitter = newEmitter(src.welcome, 4)
	t.emitter.anyPort = true
	go src.run(t.worker.function)
	src.mu.Lock()
	defer src.mu.Unlock()
	deadline := time.Time{}
	for !src.isDone && (deadline.IsZero() || time.Now().Before(deadline)) {
		if src.isStopped && deadline.IsZero() {
			// A function that does not look at what Emit returns is left behind.
			deadline = time.Now().Add(t.worker.grace)
			time.AfterFunc(t.worker.grace, src.cond.Broadcast)
			continue
		}
		src.cond.Wait()
	}
	t.stdout.Flush()
	if src.isDone && src.result != nil && !errors.Is(src.result, ErrStopped) {
		return t.worker.exit(1, "the source failed: "+src.result.Error())
	}
	fmt.Fprintf(stderr, "%d emitted\n", t.sent)
	return 0
}

// emit prints one step of a source; beyond the limit the pipeline "shuts down". Called with the lock held.
func (t *trial) emit(outputs []Output) error {
	src := t.worker.source
	if src.isStopped {
		return ErrStopped
	}
	t.emitter.reset()
	for i := range outputs {
		if t.sent+i < t.limit {
			t.emitter.Emit(outputs[i])
		}
	}
	if failure := t.emitter.check(); failure != nil {
		return errors.New(failure.message)
	}
	t.print()
	if t.sent >= t.limit {
		src.stop()
		src.cond.Broadcast()
	}
	return nil
}
