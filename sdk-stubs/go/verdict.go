package stagewire

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	pb "stagewire.dev/sdk/go/stagewirepb"
)

// verdict is how a delivery ends when it is not simply accepted.
type verdict struct {
	kind       pb.OutcomeKind
	code       Code
	message    string
	delay      time.Duration
	indefinite bool
}

func (v *verdict) Error() string { return v.message }

// givesBack says whether the records come again, which voids what was delivered behind them (OR-3).
func (v *verdict) givesBack() bool {
	return v.kind == pb.OutcomeKind_OUTCOME_KIND_RETRY || v.kind == pb.OutcomeKind_OUTCOME_KIND_RELEASED
}

// Reject says that this record will never work: it becomes a dead letter with `message`. Codes from
// 1000 are yours; a smaller one becomes 1000.
func Reject(code uint32, message string) error {
	return &verdict{kind: pb.OutcomeKind_OUTCOME_KIND_REJECTED, code: applicationCode(code), message: message}
}

// Retry asks for the record again, at least `delay` later (0: the pipeline's own backoff), as a further attempt.
func Retry(delay time.Duration, message string) error {
	return &verdict{kind: pb.OutcomeKind_OUTCOME_KIND_RETRY, code: firstApplicationOne, message: message, delay: delay}
}

// RetryCode is Retry with a code of yours, which is shown beside the message. Codes from 1000 are yours; a
// smaller one becomes 1000.
func RetryCode(code uint32, delay time.Duration, message string) error {
	return &verdict{kind: pb.OutcomeKind_OUTCOME_KIND_RETRY, code: applicationCode(code), message: message, delay: delay}
}

// RetryIndefinite is Retry when the effect may have happened already.
func RetryIndefinite(delay time.Duration, message string) error {
	return &verdict{kind: pb.OutcomeKind_OUTCOME_KIND_RETRY, code: firstApplicationOne, message: message, delay: delay, indefinite: true}
}

// Release gives the record back untouched: the same attempt, elsewhere or a little later.
func Release() error { return releaseVerdict }

func applicationCode(code uint32) Code {
	if Code(code) < firstApplicationOne {
		return firstApplicationOne
	}
	return Code(code)
}

var (
	releaseVerdict = &verdict{kind: pb.OutcomeKind_OUTCOME_KIND_RELEASED}
	acceptVerdict  = &verdict{kind: pb.OutcomeKind_OUTCOME_KIND_ACCEPTED}
)

// verdictOf reads a handler's error: any that is not one of ours asks for another attempt.
func verdictOf(err error) (v *verdict, isOurs bool) {
	if errors.As(err, &v) {
		return v, true
	}
	return &verdict{kind: pb.OutcomeKind_OUTCOME_KIND_RETRY, code: firstApplicationOne, message: err.Error()}, false
}

func verdictOfPanic(value any) *verdict {
	return &verdict{kind: pb.OutcomeKind_OUTCOME_KIND_RETRY, code: firstApplicationOne, message: fmt.Sprintf("panic: %v", value)}
}

// outcome is the verdict as a message, without its deliveries.
func (v *verdict) outcome() *pb.Outcome {
	o := &pb.Outcome{Kind: v.kind}
	if v == releaseVerdict || v == acceptVerdict {
		return o
	}
	o.Error = &pb.Error{Code: uint32(v.code), Message: cutText(v.message), Indefinite: v.indefinite}
	if v.kind == pb.OutcomeKind_OUTCOME_KIND_RETRY && v.delay > 0 {
		o.DelayMs = milliseconds(v.delay)
	}
	return o
}

// milliseconds rounds up, so that a short delay does not become none, and saturates.
func milliseconds(d time.Duration) uint32 {
	ms := (d + time.Millisecond - 1) / time.Millisecond
	if ms > 1<<32-1 {
		return 1<<32 - 1
	}
	return uint32(ms)
}

// cutText makes a text fit for the wire: valid UTF-8, at most 8 KiB.
func cutText(text string) string {
	if len(text) > maxText {
		end := maxText
		for end > maxText-utf8.UTFMax && !utf8.RuneStart(text[end]) {
			end--
		}
		text = text[:end]
	}
	return strings.ToValidUTF8(text, "?")
}

// printable is a text from the other side with its control characters escaped (LM-5).
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, cutText(text))
}

func unmarshalOutcome(b []byte, outcome *pb.Outcome) error { return proto.Unmarshal(b, outcome) }

func recordFromMessage(message *pb.Record) *Record {
	encoded, err := proto.Marshal(message)
	if err != nil {
		panic("stagewire: " + err.Error())
	}
	record, err := decodeRecord(encoded)
	if err != nil {
		panic("stagewire: " + err.Error())
	}
	record.attempt = 1
	return record
}
