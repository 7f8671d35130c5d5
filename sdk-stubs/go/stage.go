package stagewire

import "time"

// Option changes how a stage runs.
type Option func(*options)

type options struct {
	version  string
	maxFrame uint32
	config   any
	timeout  time.Duration
	bounds   func() Bounds
	workers  int
}

// Version is the author's own version of the stage, shown in lineage; at most 128 bytes.
func Version(version string) Option { return func(o *options) { o.version = version } }

// Config decodes the stage's configuration (`config:` in pipeline.yaml) into the value that `target`
// points to, as encoding/json does, before the first record. What stands there before are the defaults.
// Names that the type does not know and values that do not fit end the worker with exit code 2 and a
// sentence that names the field; so does an error of the target's `Validate() error`, if it has one.
func Config(target any) Option { return func(o *options) { o.config = target } }

// MaxFrame is the largest frame to accept, in bytes; for pipelines with a large max_record. Default 4 MiB.
func MaxFrame(bytes uint32) Option { return func(o *options) { o.maxFrame = bytes } }

// Timeout is how long a handler may work on what it was given; 300 s by default, 0: no limit. After
// that the broker takes the record back and ends the worker. Record.Context ends then as well.
func Timeout(limit time.Duration) Option { return func(o *options) { o.timeout = limit } }

// Workers is how many records a transform or sink handles at once in this process, 1 by default. Its handler is
// then called by so many goroutines. Records that have an order (of one key; under `ordering: total`, of one
// input) are handled one after the other all the same, and in it.
func Workers(n int) Option { return func(o *options) { o.workers = n } }

// BoundsFrom asks for the bounds of a window stage once its configuration has been decoded, for those that
// are configured. They take the place of RunWindow's. Bounds that cannot be meant end the worker with exit
// code 2 and a sentence.
func BoundsFrom(bounds func() Bounds) Option { return func(o *options) { o.bounds = bounds } }

// Transform handles one record: what it emits and the settlement of the record are one step. A nil
// error accepts the record (without emissions: filters it); see Reject, Retry and Release. Any other
// error, and a panic, ask for another attempt.
type Transform func(record *Record, out *Emitter) error

// RunTransform runs a transform stage until the pipeline ends, and returns the exit code for os.Exit.
// With `--test FILE` on the command line it tries the handler on records of that file instead.
func RunTransform(handler Transform, with ...Option) int {
	return newWorker(handler, nil, with).run()
}

// RunSink runs a stage that emits nothing. See RunTransform.
func RunSink(handler func(record *Record) error, with ...Option) int {
	return RunTransform(func(record *Record, _ *Emitter) error { return handler(record) }, with...)
}

// RunBatchSink runs a sink that is given what has arrived, at least one record and never waiting for
// more. Its verdict is for all of them. See RunTransform.
func RunBatchSink(handler func(records []*Record) error, with ...Option) int {
	w := newWorker(nil, nil, with)
	w.batch = handler
	return w.run()
}

// RunWindow runs a stage that handles the records of one window at a time: everything it emits and the
// settlement of all the window's records are one step. See Bounds, Window and RunTransform.
func RunWindow(bounds Bounds, handler func(window *Window, out *Emitter) error, with ...Option) int {
	w := newWorker(nil, nil, with)
	w.bounds, w.window = bounds, handler
	return w.run()
}

// RunSource runs a source stage. When `function` returns nil, all partitions are finished.
func RunSource(function func(*Source) error, with ...Option) int {
	return newWorker(nil, function, with).run()
}
