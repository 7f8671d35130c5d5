package stagewire

import "fmt"

// Code says what went wrong; the numbers are the protocol's. 1000 and up belong to applications.
type Code uint32

// The codes of the protocol, by scope: 100s end a connection, 200s a session, 300s concern deliveries.
const (
	OK                  Code = 0
	MalformedFrame      Code = 100
	FrameTooLarge       Code = 101
	UnsupportedVersion  Code = 102
	UnsupportedFeature  Code = 103
	HandshakeTimeout    Code = 104
	IdleTimeout         Code = 105
	Unauthenticated     Code = 106
	UnexpectedMessage   Code = 107
	Flood               Code = 108
	FrameLimitTooSmall  Code = 109
	TooManyConnections  Code = 110
	MalformedHello      Code = 111
	UnknownStage        Code = 200
	DuplicateInstance   Code = 201
	StageFull           Code = 202
	CreditExceeded      Code = 203
	UnknownPort         Code = 204
	UnknownDelivery     Code = 205
	InvalidOutcome      Code = 206
	LeaseExpired        Code = 207
	Fenced              Code = 208
	EmitOutOfSequence   Code = 209
	NotClaimed          Code = 210
	ShuttingDown        Code = 211
	DrainDeadline       Code = 212
	InvalidPartition    Code = 213
	Rejected            Code = 300
	AttemptsExhausted   Code = 301
	Expired             Code = 302
	Crashed             Code = 303
	OutputTooLarge      Code = 304
	StepTooLarge        Code = 305
	InvalidOutput       Code = 306
	firstApplicationOne Code = 1000
)

var codeNames = map[Code]string{
	OK: "OK", MalformedFrame: "MALFORMED_FRAME", FrameTooLarge: "FRAME_TOO_LARGE",
	UnsupportedVersion: "UNSUPPORTED_VERSION", UnsupportedFeature: "UNSUPPORTED_FEATURE",
	HandshakeTimeout: "HANDSHAKE_TIMEOUT", IdleTimeout: "IDLE_TIMEOUT",
	Unauthenticated: "UNAUTHENTICATED", UnexpectedMessage: "UNEXPECTED_MESSAGE", Flood: "FLOOD",
	FrameLimitTooSmall: "FRAME_LIMIT_TOO_SMALL", TooManyConnections: "TOO_MANY_CONNECTIONS",
	MalformedHello: "MALFORMED_HELLO", UnknownStage: "UNKNOWN_STAGE",
	DuplicateInstance: "DUPLICATE_INSTANCE", StageFull: "STAGE_FULL",
	CreditExceeded: "CREDIT_EXCEEDED", UnknownPort: "UNKNOWN_PORT",
	UnknownDelivery: "UNKNOWN_DELIVERY", InvalidOutcome: "INVALID_OUTCOME",
	LeaseExpired: "LEASE_EXPIRED", Fenced: "FENCED", EmitOutOfSequence: "EMIT_OUT_OF_SEQUENCE",
	NotClaimed: "NOT_CLAIMED", ShuttingDown: "SHUTTING_DOWN", DrainDeadline: "DRAIN_DEADLINE",
	InvalidPartition: "INVALID_PARTITION", Rejected: "REJECTED",
	AttemptsExhausted: "ATTEMPTS_EXHAUSTED", Expired: "EXPIRED", Crashed: "CRASHED",
	OutputTooLarge: "OUTPUT_TOO_LARGE", StepTooLarge: "STEP_TOO_LARGE",
	InvalidOutput: "INVALID_OUTPUT",
}

// String is the name in docs/PROTOCOL.md, followed by the number.
func (c Code) String() string {
	if name, ok := codeNames[c]; ok {
		return fmt.Sprintf("%s (%d)", name, uint32(c))
	}
	return fmt.Sprintf("code %d", uint32(c))
}

// IsRetryable says whether connecting again, unchanged, can help.
func (c Code) IsRetryable() bool {
	switch c {
	case HandshakeTimeout, IdleTimeout, TooManyConnections, DuplicateInstance, StageFull,
		LeaseExpired, ShuttingDown, DrainDeadline:
		return true
	}
	return false
}
