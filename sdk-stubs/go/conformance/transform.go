package main

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	stagewire "stagewire.dev/sdk/go"
)

// unknown is the verdict on a directive that does not exist, or not with these words.
func unknown(directive string) error {
	return stagewire.Reject(1999, "not a directive: "+directive)
}

// transform does what the payload says: directives between `;`, from left to right. The first verdict ends it.
func transform(record *stagewire.Record, out *stagewire.Emitter, config []byte) error {
	if len(record.Payload()) == 0 {
		return nil
	}
	for _, directive := range strings.Split(string(record.Payload()), ";") {
		isVerdict, err := judge(directive)
		if !isVerdict {
			err = emit(directive, record, out, config)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// judge does what ends a record, or delays it. false: the directive is another one.
func judge(directive string) (isVerdict bool, err error) {
	name, rest, _ := strings.Cut(directive, " ")
	switch name {
	case "reject":
		words := words(rest, 2)
		code, isNumber := number(words, 0, 1000)
		if !isNumber {
			return true, unknown(directive)
		}
		return true, stagewire.Reject(code, text(words, 1))
	case "retry":
		words := words(rest, 3)
		delay, isDelay := number(words, 0, 0)
		code, isCode := number(words, 1, 1000)
		if !isDelay || !isCode {
			return true, unknown(directive)
		}
		return true, stagewire.RetryCode(code, milliseconds(delay), text(words, 2))
	case "release":
		return true, stagewire.Release()
	case "wait":
		wait, isNumber := number(words(rest, 1), 0, 0)
		if !isNumber || rest == "" {
			return true, unknown(directive)
		}
		time.Sleep(milliseconds(wait))
		return true, nil
	}
	return false, nil
}

// emit does what emits, and what fails in ways of its own.
func emit(directive string, record *stagewire.Record, out *stagewire.Emitter, config []byte) error {
	name, rest, _ := strings.Cut(directive, " ")
	switch {
	case directive == "echo":
		out.Forward(record, "out", record.Payload())
	case directive == "attempt":
		out.Forward(record, "out", []byte(strconv.Itoa(record.Attempt())))
	case directive == "id":
		out.Forward(record, "out", []byte(record.ID().String()))
	case directive == "config":
		out.Forward(record, "out", config)
	case name == "emit":
		words := words(rest, 3)
		count, isCount := number(words, 0, 0)
		size, isSize := number(words, 1, 0)
		if rest == "" || !isCount || !isSize {
			return unknown(directive)
		}
		port := "out"
		if len(words) == 3 {
			port = words[2]
		}
		for n := 0; n < int(count); n++ {
			out.Forward(record, port, padded(n, int(size)))
		}
	case name == "env" && rest != "":
		if value, isSet := os.LookupEnv(rest); isSet {
			out.Forward(record, "out", []byte(value))
		}
	case name == "throw":
		return errors.New(rest)
	case name == "exit":
		code, err := strconv.Atoi(rest)
		if err != nil {
			return unknown(directive)
		}
		os.Exit(code)
	default:
		return unknown(directive)
	}
	return nil
}

// words are at most n; the last one may have spaces.
func words(rest string, n int) []string {
	if rest == "" {
		return nil
	}
	return strings.SplitN(rest, " ", n)
}

// number reads words[at]; where there is none it is `otherwise`.
func number(words []string, at int, otherwise uint32) (value uint32, isNumber bool) {
	if at >= len(words) {
		return otherwise, true
	}
	parsed, err := strconv.ParseUint(words[at], 10, 32)
	return uint32(parsed), err == nil
}

func text(words []string, at int) string {
	if at >= len(words) {
		return ""
	}
	return words[at]
}

func milliseconds(count uint32) time.Duration { return time.Duration(count) * time.Millisecond }

// padded is a number in decimal, followed by spaces up to `size` bytes.
func padded(n, size int) []byte {
	payload := []byte(strconv.Itoa(n))
	if missing := size - len(payload); missing > 0 {
		payload = append(payload, bytes.Repeat([]byte(" "), missing)...)
	}
	return payload
}
