package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"stagewire.dev/examples/compaction/event"
)

// lines reads the whole lines of a file that others append to.
type lines struct {
	file    *os.File
	buffer  *bufio.Reader
	at      int64  // behind the last whole line, bytes from the beginning
	pending []byte // of the line at `at`, as far as it is there; cut behind event.MaxLine + 1
	length  int64  // of what is there, uncut
}

// openLines begins at a position that a whole line ended at before. A file that is shorter is not the one that was read.
func openLines(path string, at int64) (*lines, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	l := &lines{file: file, buffer: bufio.NewReaderSize(file, 64*1024), at: at}
	if err := l.check(); err != nil {
		file.Close()
		return nil, err
	}
	if _, err := file.Seek(at, io.SeekStart); err != nil {
		file.Close()
		return nil, err
	}
	return l, nil
}

// check notices a file that has become shorter than what was read of it.
func (l *lines) check() error {
	info, err := l.file.Stat()
	if err != nil {
		return err
	}
	if info.Size() < l.at {
		return fmt.Errorf("%s has %d bytes, but %d of it have been read before: it is to be appended to only, and was cut or replaced",
			l.file.Name(), info.Size(), l.at)
	}
	return nil
}

// next is a line without its end, valid until the next call; one that is too long is cut behind event.MaxLine + 1
// bytes, which is no event. io.EOF: there is no further whole line yet; what there is of one is kept.
func (l *lines) next() ([]byte, error) {
	for {
		chunk, err := l.buffer.ReadSlice('\n')
		if l.length == 0 {
			l.pending = l.pending[:0]
		}
		l.length += int64(len(chunk))
		if err == nil {
			chunk = chunk[:len(chunk)-1]
		}
		if room := event.MaxLine + 1 - len(l.pending); len(chunk) > room {
			chunk = chunk[:room]
		}
		l.pending = append(l.pending, chunk...)
		switch {
		case err == nil:
			l.at, l.length = l.at+l.length, 0
			return l.pending, nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF):
			if failure := l.check(); failure != nil {
				return nil, failure
			}
			return nil, io.EOF
		default:
			return nil, err
		}
	}
}

func (l *lines) close() { l.file.Close() }
