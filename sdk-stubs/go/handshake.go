package stagewire

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"time"

	"google.golang.org/protobuf/proto"

	pb "stagewire.dev/sdk/go/stagewirepb"
)

// connect dials, says Hello and reads the answer.
func (w *worker) connect() (net.Conn, *bufio.Reader, *pb.Welcome, error) {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: w.socket, Net: "unix"})
	if err != nil {
		return nil, nil, nil, err
	}
	_ = conn.SetWriteBuffer(sendBuffer) // without it everything is as right, only slower
	_ = conn.SetDeadline(time.Now().Add(handshakeTimeout))
	_, err = conn.Write(encodeFrame(&pb.Envelope{Message: &pb.Envelope_Hello{Hello: &pb.Hello{
		MinVersion: protocolVersion, MaxVersion: protocolVersion, Stage: w.stage, Instance: w.instance,
		StageVersion: w.options.version, MaxFrame: uint64(w.options.maxFrame), Token: w.token,
		Offered: w.features(), Sdk: sdkName, Language: "go",
	}}}))
	reader := bufio.NewReaderSize(conn, receiveBuffer)
	var welcome *pb.Welcome
	if err == nil {
		welcome, err = w.readWelcome(reader)
	}
	if err == nil {
		_ = conn.SetDeadline(time.Time{})
		return conn, reader, welcome, nil
	}
	if closed := localClose(err); closed != nil {
		_ = conn.SetDeadline(time.Now().Add(w.grace))
		_, _ = conn.Write(encodeFrame(&pb.Envelope{Message: &pb.Envelope_Close{
			Close: &pb.Close{Code: uint32(closed.code), Message: cutText(closed.message)}}}))
		_, _ = io.Copy(io.Discard, reader) // a socket with unread bytes would take our Close along (EN-1)
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

// features are what we can use: windows hold deliveries; refusals are worth a sentence, and OnConfirmed needs them all.
func (w *worker) features() []string {
	if w.window != nil {
		return []string{"holds", "settle-confirm"}
	}
	if w.source != nil {
		return nil
	}
	return []string{"settle-confirm"}
}
