package stagewire

import (
	"errors"
	"fmt"
	"runtime/debug"
)

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
			src.mu.Unlock()
			err := s.leave("the source has stopped")
			src.mu.Lock()
			return err
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
