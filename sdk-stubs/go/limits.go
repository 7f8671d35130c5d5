package stagewire

import "time"

// What this package promises or allows itself, with units. The protocol's own limits arrive in Welcome.
const (
	protocolVersion = 1000 // major * 1000 + minor
	sdkName         = "stagewire-go/0.2"

	framePrefix  = 4                // bytes of length in front of a frame
	defaultFrame = 4 * 1024 * 1024  // bytes of one frame we accept, unless MaxFrame says more
	ceilingFrame = 64 * 1024 * 1024 // bytes; the protocol's ceiling

	// Room left free in front of gathered outcomes for prefix, version, tag and length: 4+3+1+5.
	frameHeadroom = 16
	// Gathered outcomes are written at this size, bytes: larger gains nothing, and waits longer.
	settleTarget = 64 * 1024
	// Ranges of deliveries that are gathered in one outcome; of 24 bytes at most, so they find room behind settleTarget.
	runSpans = 512
	// Gathered outcomes are written after this time even if the handler is still busy.
	settleDelay = 10 * time.Millisecond

	// Bytes that may wait for the broker, where Linux has 208 KiB unless told otherwise: a worker that writes more sleeps
	// until the broker has read, which then gets small pieces and wakes the worker for each of them. net.core.wmem_max may
	// make it less.
	sendBuffer = 1024 * 1024

	// Bytes that are read at once: some Delivers.
	receiveBuffer = 256 * 1024

	// Receive windows per input: bytes (at least twice max_record, so that half of it still takes
	// any record) and records.
	windowBytes   = 4 * 1024 * 1024
	windowRecords = 8192

	// What a source keeps unconfirmed before Emit waits: enough to keep a disk's group sync busy.
	keptEmits = 4096
	keptBytes = 16 * 1024 * 1024

	maxText       = 8 * 1024 // bytes of an error's message
	maxCheckpoint = 64 * 1024
	maxPartition  = 255
	maxKey        = 1024 // bytes
	maxAttributes = 64   // of one header
	maxHeader     = 16 * 1024

	handshakeTimeout = 10 * time.Second
	closeTimeout     = 5 * time.Second  // after our Close we read on at most this long
	stopTimeout      = 30 * time.Second // of a source that a signal ended, for its commits
	backoffFirst     = 100 * time.Millisecond
	backoffLimit     = 10 * time.Second
	repeatedNotice   = time.Minute // between two sentences about one outage

	defaultTimeout = 300 * time.Second // of a handler
	defaultIdle    = 10 * time.Second  // of a stream, before its windows by event time end
	rememberedIDs  = 65536             // of records that windows had, 16 bytes each, to know returning ones
	forgetAfter    = time.Hour         // a key that was given back and has not come again; many times the usual max_age
	shownErrors    = 10                // handlers' errors on stderr per process: a poison stream must not fill the disk
)
