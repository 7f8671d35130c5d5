package stagewire

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	pb "stagewire.dev/sdk/go/stagewirepb"
)

// Emitter collects what a handler produces from one record. It becomes visible together with the
// record's settlement, or not at all.
type Emitter struct {
	welcome *pb.Welcome
	field   protowire.Number // of `emissions` in the message that they will stand in
	body    []byte           // the encoded emissions
	charges []charge         // by index in welcome.Outputs
	failure *verdict         // the first emission that can never be accepted
	parents []*Record        // named by emissions of a window; to be checked against it
	anyPort bool             // a trial: what ports there are stands in the pipeline
}

func newEmitter(welcome *pb.Welcome, field protowire.Number) *Emitter {
	return &Emitter{welcome: welcome, field: field, charges: make([]charge, len(welcome.Outputs))}
}

func (e *Emitter) reset() {
	e.body, e.failure, e.parents = e.body[:0], nil, e.parents[:0]
	for i := range e.charges {
		e.charges[i] = charge{}
	}
}

// Emit adds one record to the outcome. Slices in `o` are copied. An output that the pipeline can
// never take (unknown port, too large, text that is not UTF-8) makes the whole outcome a rejection.
func (e *Emitter) Emit(o Output) {
	index := e.outputIndex(o.Port)
	if index < 0 {
		e.fail(InvalidOutput, fmt.Sprintf("this stage has no output port %q; it has %s", o.Port, portNames(e.welcome)))
	} else if problem := o.problem(); problem != "" {
		e.fail(InvalidOutput, "an output with "+problem)
	}
	if e.failure != nil || uint64(len(e.body)) > e.welcome.MaxFrame {
		return // nothing of this outcome will be sent: do not gather without bound
	}
	size := e.append(&o, e.welcome.Outputs[index].Number)
	e.charges[index].records++
	e.charges[index].bytes += size
	if size+e.welcome.StampReserve > e.welcome.MaxRecord {
		e.fail(OutputTooLarge, fmt.Sprintf("an output of %d bytes is larger than the pipeline's max_record of %d less %d for lineage",
			size, e.welcome.MaxRecord, e.welcome.StampReserve))
	}
}

// append encodes an emission, and returns its record's size.
func (e *Emitter) append(o *Output, port uint32) (size uint64) {
	header := o.sizeOfHeader()
	body, emission := beginField(e.body, header+len(o.Payload)+16)
	e.body = appendUint(body, 1, uint64(port))
	e.appendParents(o.Parents)
	body, record := beginField(e.body, header+len(o.Payload)+8)
	body = o.appendSized(body, header)
	size = uint64(record.length(body))
	// An empty record is a record nevertheless: the field stands there.
	body = o.Trace.appendTo(record.end(body, 3), 4)
	e.body = emission.end(body, e.field)
	return size
}

// Forward emits a payload under the header of `record`, byte for byte: with what this SDK does not know of
// it, and at less cost than Emit(record.Output()). `port` is as in Output.
func (e *Emitter) Forward(record *Record, port string, payload []byte) {
	e.Emit(Output{Port: port, header: record.header.of(record), Payload: payload})
}

// appendParents encodes the deliveries that an emission of a window descends from.
func (e *Emitter) appendParents(parents []*Record) {
	if len(parents) == 0 {
		return
	}
	mark, isNamed := len(e.body), make(map[*Record]bool, len(parents))
	for _, parent := range parents {
		if !isNamed[parent] { // each once (ST-4)
			isNamed[parent] = true
			e.body = protowire.AppendVarint(e.body, parent.delivery)
			e.parents = append(e.parents, parent)
		}
	}
	e.body = wrap(e.body, mark, 2)
}

func (e *Emitter) outputIndex(port string) int {
	for i, output := range e.welcome.Outputs {
		if port == "" || output.Port == port {
			return i
		}
	}
	if !e.anyPort {
		return -1
	}
	e.welcome.Outputs = append(e.welcome.Outputs, &pb.Output{Number: uint32(len(e.charges)), Port: port})
	e.charges = append(e.charges, charge{})
	return len(e.charges) - 1
}

func portNames(welcome *pb.Welcome) string {
	names := ""
	for i, output := range welcome.Outputs {
		if i > 0 {
			names += ", "
		}
		names += output.Port
	}
	if names == "" {
		return "none"
	}
	return names
}

func (e *Emitter) fail(code Code, message string) {
	if e.failure == nil {
		e.failure = &verdict{kind: pb.OutcomeKind_OUTCOME_KIND_REJECTED, code: code, message: message}
	}
}

// check finds what the broker would refuse, or what could never fit the credit and would wait for ever.
func (e *Emitter) check() *verdict {
	var records, bytes uint64
	for _, c := range e.charges {
		records += c.records
		bytes += c.bytes + c.records*e.welcome.StampReserve
	}
	switch {
	case e.isEmpty() || e.failure != nil:
	case records > e.welcome.MaxStepRecords || bytes > e.welcome.MaxStepBytes:
		e.fail(StepTooLarge, fmt.Sprintf("one step emitted %d records charged %d bytes; the pipeline takes at most %d records and %d bytes",
			records, bytes, e.welcome.MaxStepRecords, e.welcome.MaxStepBytes))
	case uint64(len(e.body))+maxText > e.welcome.MaxFrame:
		e.fail(StepTooLarge, fmt.Sprintf("one step emitted %d bytes; a frame holds at most %d", len(e.body), e.welcome.MaxFrame))
	}
	return e.failure
}

func (e *Emitter) isEmpty() bool { return len(e.body) == 0 }

// Recorder returns an Emitter for testing a handler without a broker: `outputs` are collected.
func Recorder() (e *Emitter, outputs func() []*Record) {
	e = newEmitter(defaultWelcome(), 4)
	return e, func() (records []*Record) {
		var outcome pb.Outcome
		if err := unmarshalOutcome(e.body, &outcome); err != nil {
			panic("stagewire: emissions that we encoded cannot be decoded: " + err.Error())
		}
		for _, emission := range outcome.Emissions {
			records = append(records, recordFromMessage(emission.Output))
		}
		return records
	}
}

// defaultWelcome has the limits that a pipeline has unless its file says otherwise.
func defaultWelcome() *pb.Welcome {
	return &pb.Welcome{MaxRecord: 1 << 20, MaxStepRecords: 4096, MaxStepBytes: 1 << 20, MaxFrame: defaultFrame,
		Outputs: []*pb.Output{{Port: "out"}}}
}
