package stagewire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "stagewire.dev/sdk/go/stagewirepb"
)

// Field numbers of Envelope for the frames that carry records: they are read and written here by
// hand, for their cost per record, and because credit counts the bytes as they stand on the wire.
const (
	envelopeClose   = 4
	envelopeDeliver = 8
	envelopeSettle  = 9
	envelopeEmit    = 10
)

// closeError ends a session with a code: ours towards the broker, or the broker's towards us.
type closeError struct {
	code    Code
	message string
	remote  bool // the broker said it
}

// localClose is the error as a Close of our own; nil: it is something else.
func localClose(err error) *closeError {
	var closed *closeError
	if errors.As(err, &closed) && !closed.remote {
		return closed
	}
	return nil
}

func (e *closeError) Error() string { return e.message + " [" + e.code.String() + "]" }

// readFrame reads one frame of at most limit bytes. The result is not reused: records point into it.
func readFrame(r *bufio.Reader, limit uint32) ([]byte, error) {
	var prefix [framePrefix]byte
	if _, err := io.ReadFull(r, prefix[:]); err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint32(prefix[:])
	if length > limit {
		return nil, &closeError{code: FrameTooLarge, message: fmt.Sprintf(
			"the broker sent a frame of %d bytes, this worker accepts %d; raise it with stagewire.MaxFrame", length, limit)}
	}
	if int(length) > r.Size() {
		frame := make([]byte, length)
		_, err := io.ReadFull(r, frame)
		return frame, err
	}
	// A copy of what was read is not cleared first, as room to read into would be.
	read, err := r.Peek(int(length))
	if err != nil {
		if err == io.EOF && len(read) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	frame := append([]byte(nil), read...)
	_, err = r.Discard(int(length))
	return frame, err
}

// encodeFrame is for control messages, of which there are few.
func encodeFrame(envelope *pb.Envelope) []byte {
	envelope.Version = protocolVersion
	frame, err := proto.MarshalOptions{}.MarshalAppend(make([]byte, framePrefix, 128), envelope)
	if err != nil {
		// Only invalid UTF-8 can fail here, and our strings are checked where they enter.
		panic("stagewire: " + err.Error())
	}
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-framePrefix))
	return frame
}

// closeFrame puts prefix, version and the field's tag and length into the headroom in front of the
// gathered bytes, so that a frame is written from where it was built. It returns the frame.
func closeFrame(buffer []byte, field protowire.Number) []byte {
	body := len(buffer) - frameHeadroom
	var head [frameHeadroom]byte
	h := protowire.AppendTag(head[:framePrefix], 1, protowire.VarintType)
	h = protowire.AppendVarint(h, protocolVersion)
	h = protowire.AppendTag(h, field, protowire.BytesType)
	h = protowire.AppendVarint(h, uint64(body))
	binary.BigEndian.PutUint32(h, uint32(len(h)-framePrefix+body))
	start := frameHeadroom - len(h)
	copy(buffer[start:], h)
	return buffer[start:]
}

// splitEnvelope checks the version and looks for a Deliver, whose bytes it returns.
func splitEnvelope(frame []byte) (deliver []byte, isDeliver bool, err error) {
	var version uint64
	isClose := false
	if len(frame) == 0 {
		return nil, false, &closeError{code: MalformedFrame, message: "the broker sent an empty frame"}
	}
	for b := frame; len(b) > 0; {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil, false, malformed("Envelope", n)
		}
		b = b[n:]
		switch {
		case number == 1 && kind == protowire.VarintType:
			if version, n = protowire.ConsumeVarint(b); n < 0 {
				return nil, false, malformed("Envelope.version", n)
			}
		case number == envelopeDeliver && kind == protowire.BytesType:
			if deliver, n = protowire.ConsumeBytes(b); n < 0 {
				return nil, false, malformed("Envelope.deliver", n)
			}
			isDeliver = true
		default:
			isClose = isClose || number == envelopeClose
			if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
				return nil, false, malformed("Envelope", n)
			}
		}
		b = b[n:]
	}
	// A Close is the same in every version (VR-2): it may be what says that versions differ.
	if !isClose && version/1000 != protocolVersion/1000 {
		return nil, false, &closeError{code: UnsupportedVersion, message: fmt.Sprintf(
			"the broker speaks protocol %d.%d, this worker %d.%d; build the worker with a matching SDK",
			version/1000, version%1000, protocolVersion/1000, protocolVersion%1000)}
	}
	return deliver, isDeliver, nil
}

func malformed(where string, n int) error {
	return &closeError{code: MalformedFrame, message: fmt.Sprintf("%s cannot be decoded: %v", where, protowire.ParseError(n))}
}
