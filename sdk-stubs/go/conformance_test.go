package stagewire

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "stagewire.dev/sdk/go/stagewirepb"
)

// conformance.yaml as far as this test reads it.
func conformanceKey(t testing.TB, pattern string) string {
	t.Helper()
	document, err := os.ReadFile("conformance/conformance.yaml")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?m)^" + pattern).FindSubmatch(document)
	if found == nil {
		t.Fatalf("conformance.yaml has no %s", pattern)
	}
	return string(found[1])
}

// buildConformance builds the worker as conformance.yaml says, and returns its path.
func buildConformance(t *testing.T) string {
	t.Helper()
	if command := conformanceKey(t, `command: \[(.*)\]$`); command != "./worker" {
		t.Fatal(command)
	}
	build := strings.Replace(conformanceKey(t, `build: (.*)$`), "-o worker", "-o "+t.TempDir()+"/worker", 1)
	shell := exec.Command("sh", "-c", build)
	shell.Dir = "conformance"
	if out, err := shell.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", build, err, out)
	}
	return regexp.MustCompile(`\S+/worker`).FindString(build)
}

// conformanceBroker waits for the conformance worker, a process of its own.
type conformanceBroker struct {
	*fakeBroker
	process *os.Process
}

func startConformance(t *testing.T, program, stage string, environment ...string) *conformanceBroker {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	b := &conformanceBroker{fakeBroker: &fakeBroker{t: t, listener: listener, exit: make(chan int, 1)}}
	command := exec.Command(program)
	command.Env = append(append(os.Environ(), "STAGEWIRE_SOCKET="+path, "STAGEWIRE_STAGE="+stage), environment...)
	command.Stderr = &b.stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	b.process = command.Process
	t.Cleanup(func() { listener.Close(); _ = command.Process.Kill() })
	go func() {
		_ = command.Wait()
		b.exit <- command.ProcessState.ExitCode()
	}()
	return b
}

// attach lets the worker in. Its outputs are numbered as no worker could guess.
func (b *conformanceBroker) attach(stage, config string) *link {
	b.t.Helper()
	l, hello := b.accept()
	offered := conformanceKey(b.t, "  "+stage+`: \[(.*)\]$`)
	if got := strings.Join(hello.Offered, ", "); got != offered || len(hello.Required) != 0 || hello.Stage != stage {
		b.t.Fatalf("%v; conformance.yaml says [%s]", hello, offered)
	}
	welcome := welcomeMessage()
	welcome.Features, welcome.Config = hello.Offered, []byte(config)
	welcome.Outputs = []*pb.Output{{Number: 5, Port: "side"}, {Number: 3, Port: "out"}}
	if stage == "source" {
		welcome.Inputs = nil
	}
	l.greet(welcome)
	l.records, l.bytes = 20_000, 4<<20
	for _, output := range welcome.Outputs {
		l.send(&pb.Envelope{Message: &pb.Envelope_Credit{Credit: &pb.Credit{Number: output.Number, Records: l.records / 2, Bytes: l.bytes / 2}}})
	}
	return l
}

// emitted are an outcome's payloads, "side:" before those of the other port.
func emitted(o *pb.Outcome) string {
	var texts []string
	for _, emission := range o.Emissions {
		text := string(emission.Output.GetPayload())
		if emission.Port == 5 {
			text = "side:" + text
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, ",")
}

func TestConformanceTransform(t *testing.T) {
	const config = `{"b": [1, 2.50],"a":null}`
	b := startConformance(t, buildConformance(t), "transform", "COLOUR=blue", "EMPTY=", "STAGEWIRE_TOKEN=00ff")
	l := b.attach("transform", config)
	cases := []struct {
		payload string
		kind    pb.OutcomeKind
		emitted string
		code    uint32
		message string
	}{
		{"", accepted, "", 0, ""},
		{"echo", accepted, "echo", 0, ""},
		{"emit 3", accepted, "0,1,2", 0, ""},
		{"emit 0", accepted, "", 0, ""},
		{"emit 2 4 side;echo", accepted, "side:0   ,side:1   ,emit 2 4 side;echo", 0, ""},
		{"emit 11 1", accepted, "0,1,2,3,4,5,6,7,8,9,10", 0, ""},
		{"attempt;id", accepted, "4,0000000000000000000000000000ab0c", 0, ""},
		{"config", accepted, config, 0, ""},
		{"env COLOUR;env EMPTY;env NO_SUCH_NAME;env STAGEWIRE_TOKEN", accepted, "blue,", 0, ""},
		{"wait 1;emit 1", accepted, "0", 0, ""},
		{"reject", rejected, "", 1000, ""},
		{"reject 1007", rejected, "", 1007, ""},
		{"echo;reject 1007 no such unit;nonsense", rejected, "", 1007, "no such unit"},
		{"retry", retried, "", 1000, ""},
		{"retry 1500", retried, "", 1000, ""},
		{"retry 1500 1008 not yet", retried, "", 1008, "not yet"},
		{"emit 1;release;reject", released, "", 0, ""},
		{"throw it went wrong", retried, "", 1000, "it went wrong"},
		{"nonsense", rejected, "", 1999, "nonsense"},
		{"emit", rejected, "", 1999, ""},
		{"emit 1 x", rejected, "", 1999, ""},
		{"emit 1  side", rejected, "", 1999, ""},
		{"wait", rejected, "", 1999, ""},
		{"reject never", rejected, "", 1999, ""},
		{"retry 1 soon", rejected, "", 1999, ""},
		{"echo;", rejected, "", 1999, ""},
		{"emit 1 2000000", rejected, "", uint32(OutputTooLarge), ""},
		{"emit 4097", rejected, "", uint32(StepTooLarge), ""},
		{"emit 1 1 nowhere", rejected, "", uint32(InvalidOutput), "nowhere"},
	}
	header := &pb.Header{Schema: "s", SchemaVersion: 2, EventTime: 7, ContentType: "text/plain", Attributes: []*pb.Attribute{
		{Name: "a", Value: &pb.Attribute_Flag{}}, {Name: "a", Value: &pb.Attribute_Number{Number: 0.5}}}}
	header.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 1000, protowire.VarintType), 9))
	deliver := &pb.Deliver{FirstDelivery: 1}
	for i, c := range cases {
		own := proto.Clone(header).(*pb.Header)
		own.Key = []byte(fmt.Sprint("k", i)) // none voids another
		deliver.Records = append(deliver.Records, &pb.Record{Header: own, Payload: []byte(c.payload), Lineage: &pb.Lineage{Id: append(make([]byte, 14), 0xab, 0x0c)}})
		deliver.Attempts = append(deliver.Attempts, 4)
	}
	l.send(&pb.Envelope{Message: &pb.Envelope_Deliver{Deliver: deliver}})
	l.next += uint64(len(cases))
	got := l.outcomes(len(cases))
	for i, c := range cases {
		o := got[uint64(i+1)]
		if o.Kind != c.kind || emitted(o) != c.emitted || o.GetError().GetCode() != c.code || !strings.Contains(o.GetError().GetMessage(), c.message) {
			t.Errorf("%q: %v", c.payload, o)
		}
		for _, emission := range o.Emissions {
			if !proto.Equal(emission.Output.Header, deliver.Records[i].Header) {
				t.Errorf("%q: header %v", c.payload, emission.Output.Header)
			}
		}
	}
	if got[15].DelayMs != 1500 || got[16].DelayMs != 1500 || got[14].DelayMs != 0 {
		t.Errorf("%v %v", got[15], got[16])
	}
	l.deliver("exit 9")
	b.expectExit(9)
}

func TestConformanceReconnectsAndOrdersAndLeaves(t *testing.T) {
	program := buildConformance(t)
	b := startConformance(t, program, "transform")
	b.attach("transform", "{}").conn.Close()
	l := b.attach("transform", "{}") // an external worker comes back
	l.deliverAt(at{payload: "retry 1", key: "k"}, at{payload: "echo", key: "k"})
	l.expectKinds(retried, released)
	l.pong(l.expectPing())
	l.deliverAt(at{payload: "attempt", key: "k", attempt: 2}, at{payload: "echo", key: "k"})
	l.expectKinds(retried, released, accepted, accepted)
	if err := b.process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if e := l.read(); e.GetClose() == nil || e.GetClose().Code != 0 {
		t.Fatalf("%v", e)
	}
	l.conn.Close()
	b.expectExit(0)

	b = startConformance(t, program, "transform", "STAGEWIRE_TOKEN=00")
	l = b.attach("transform", "{}")
	_, _ = l.conn.Write([]byte("\x00\x00\x00\x02\xff\xff"))
	l.expect(func(e *pb.Envelope) bool { return Code(e.GetClose().GetCode()) == MalformedFrame })
	l.conn.Close()
	b.expectExit(2)

	b = startConformance(t, program, "nothing")
	b.expectExit(2)
	if !strings.Contains(b.stderr.String(), "nothing") {
		t.Fatal(b.stderr.String())
	}
}

// Of five slow records of as many keys four are handled at once: the fifth can begin when all of them wait.
func TestConformanceOrdered(t *testing.T) {
	b := startConformance(t, buildConformance(t), "ordered")
	l := b.attach("ordered", "{}")
	l.deliverAt(at{payload: "wait 60000", key: "a"}, at{payload: "echo", key: "a"}, at{payload: "wait 60000", key: "b"}, at{payload: "wait 60000", key: "c"},
		at{payload: "attempt;wait 1", key: "d", attempt: 7}, at{payload: "echo"})
	got := l.outcomes(2)
	if got[5] == nil || got[6] == nil || string(got[5].Emissions[0].Output.Payload) != "7" {
		t.Fatalf("%v", got)
	}
} // its process does not outlive the test

func TestConformanceWindow(t *testing.T) {
	program := buildConformance(t)
	b := startConformance(t, program, "window")
	l := b.attach("window", `{"by_key": true}`)
	l.deliverAt(at{payload: "a", key: "x"}, at{payload: "b", key: "y"}, at{payload: "c", key: "x"}, at{payload: "wait 1", key: "x"})
	if o := l.expectWindow(1, "a,c,wait 1"); string(o.Emissions[0].Output.Header.Key) != "x" || o.Emissions[0].Port != 3 {
		t.Fatalf("%v", o)
	}
	l.deliverAt(at{payload: "retry 20 1005 later", key: "y"}, at{payload: "reject", key: "y"}, at{payload: "d", key: "z"}, at{payload: "e", key: "z"}, at{payload: "reject 1006 none of them", key: "z"})
	l.deliverAt(at{payload: "release", key: "q"}, at{payload: "f", key: "q"}, at{payload: "g", key: "q"})
	got := l.outcomes(12)
	if o := got[2]; o.Kind != retried || o != got[6] || o.DelayMs != 20 || o.Error.Code != 1005 || o.Error.Message != "later" {
		t.Fatalf("%v", o)
	}
	if o := got[7]; o.Kind != rejected || o != got[9] || o.Error.Code != 1006 || o.Error.Message != "none of them" {
		t.Fatalf("%v", o)
	}
	if o := got[10]; o.Kind != released || o != got[12] {
		t.Fatalf("%v", o)
	}
	b.end(l)

	b = startConformance(t, program, "window")
	l = b.attach("window", `{"records": 0, "seconds": 0.01}`)
	l.deliverAt(at{payload: "a", key: "x"}, at{payload: "b", key: "y"})
	if o := l.expectWindow(1, "a,b"); len(o.Emissions[0].Output.GetHeader().GetKey()) != 0 {
		t.Fatalf("%v", o)
	}
	b.end(l)

	b = startConformance(t, program, "window")
	l, _ = b.accept()
	welcome := welcomeMessage()
	welcome.Config = []byte(`{"records": 0}`)
	l.send(&pb.Envelope{Message: &pb.Envelope_Welcome{Welcome: welcome}})
	b.expectExit(2)
	if !strings.Contains(b.stderr.String(), "needs a bound") {
		t.Fatal(b.stderr.String())
	}
}

func TestConformanceSource(t *testing.T) {
	program := buildConformance(t)
	b := startConformance(t, program, "source")
	l := b.attach("source", `{"records": 5, "size": 3, "keys": 2, "pause_ms": 1}`)
	l.expectClaim("p", 4, "2")
	var texts, keys, checkpoints []string
	for id := uint64(5); id <= 6; id++ {
		emit := l.expectEmit(id)
		checkpoints = append(checkpoints, string(emit.Checkpoint))
		for _, emission := range emit.Emissions {
			texts, keys = append(texts, string(emission.Output.Payload)), append(keys, string(emission.Output.Header.Key))
		}
	}
	if !reflect.DeepEqual(texts, []string{"3  ", "4  ", "5  "}) || !reflect.DeepEqual(keys, []string{"k1", "k0", "k1"}) || !reflect.DeepEqual(checkpoints, []string{"4", "5"}) {
		t.Fatalf("%q %q %q", texts, keys, checkpoints)
	}
	l.commit("p", 6)
	l.expect(func(e *pb.Envelope) bool { return e.GetFinished().GetPartition() == "p" })
	b.end(l)

	b = startConformance(t, program, "source")
	l = b.attach("source", `{"records": 1, "partition": "q", "stay": true}`)
	l.expectClaim("q", 0, "")
	l.expectEmit(1)
	l.commit("q", 1)
	l.barrier() // it stays
	l.drain(pb.DrainReason_DRAIN_REASON_SHUTDOWN)
	if e := l.read(); e.GetClose() == nil || e.GetClose().Code != 0 {
		t.Fatalf("%v", e)
	}
	l.conn.Close()
	b.expectExit(0)

	// A long pause ends when the pipeline does.
	b = startConformance(t, program, "source")
	l = b.attach("source", fmt.Sprintf(`{"pause_ms": %d}`, 10*patience/time.Millisecond))
	l.expectClaim("p", 0, "")
	l.expectEmit(1)
	l.commit("p", 1)
	l.drain(pb.DrainReason_DRAIN_REASON_SHUTDOWN)
	l.expect(func(e *pb.Envelope) bool { return e.GetClose() != nil })
	l.conn.Close()
	b.expectExit(0)
}
