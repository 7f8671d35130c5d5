package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// results is a file of lines, each with an id that no other one has.
//
//	| line | line | line | line | li        a process or machine that died may leave this; it is cut off when
//	0                           durable     the file is opened, and again when appending fails
type results struct {
	file    *os.File
	ids     map[string]struct{} // of the lines that are there; about 100 bytes of memory each
	durable int64               // bytes that are known to be on the disk, whole lines
	isTorn  bool                // there may be more than those
}

type line struct {
	id   string
	text []byte // with its end
}

// openResults reads which ids are there already. It waits while another process has the file: a predecessor that was
// given up, and whose records have come here, may still be writing.
func openResults(path string) (*results, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	r := &results{file: file, ids: map[string]struct{}{}}
	if err := r.recover(); err != nil {
		file.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

func (r *results) recover() error {
	if err := syscall.Flock(int(r.file.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	if err := r.read(); err != nil {
		return err
	}
	// What was read may be in the system's cache only, and a file that was created in its directory's.
	if err := r.cut(); err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(r.file.Name()))
}

// read collects ids up to the last whole line.
func (r *results) read() error {
	in := bufio.NewReader(r.file)
	for {
		text, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var head struct{ ID string }
		if err := json.Unmarshal(text, &head); err != nil || head.ID == "" {
			return fmt.Errorf("the line at byte %d is no result of this stage", r.durable)
		}
		r.ids[head.ID] = struct{}{}
		r.durable += int64(len(text))
	}
}

// append writes the lines whose ids are not there yet. nil: all of them are on the disk. With an error none of them is,
// as far as this process can tell, and the same lines may be given again.
func (r *results) append(lines []line) error {
	var fresh bytes.Buffer
	added := make([]string, 0, len(lines))
	for _, one := range lines {
		if _, isThere := r.ids[one.id]; !isThere {
			r.ids[one.id] = struct{}{}
			added = append(added, one.id)
			fresh.Write(one.text)
		}
	}
	if len(added) == 0 {
		return nil
	}
	if err := r.write(fresh.Bytes()); err != nil {
		for _, id := range added {
			delete(r.ids, id)
		}
		return err
	}
	return nil
}

func (r *results) write(text []byte) error {
	if r.isTorn {
		if err := r.cut(); err != nil {
			return err
		}
	}
	// After a failed write or sync nobody knows what the disk has: before anything else it is cut off and written again.
	r.isTorn = true
	if _, err := r.file.WriteAt(text, r.durable); err != nil {
		return err
	}
	if err := r.file.Sync(); err != nil {
		return err
	}
	r.durable, r.isTorn = r.durable+int64(len(text)), false
	return nil
}

// cut leaves what is durable.
func (r *results) cut() error {
	if err := r.file.Truncate(r.durable); err != nil {
		return err
	}
	return r.file.Sync()
}

func syncDirectory(path string) error {
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	defer directory.Close()
	return directory.Sync()
}
