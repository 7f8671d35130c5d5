package stagewire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// try runs a stage with --test on lines, and returns what it printed, what it said, and its exit code.
func try(t *testing.T, w *worker, input string, arguments ...string) (stdout, stderr string, code int) {
	t.Helper()
	trial, err := parseTrial(arguments, w.function != nil)
	if err != nil || trial == nil {
		t.Fatal(trial, err)
	}
	var out, said bytes.Buffer
	code = trial.run(w, strings.NewReader(input), &out, &said)
	return out.String(), said.String(), code
}

func expectTrial(t *testing.T, what string, got, expected any) {
	t.Helper()
	if got != expected {
		t.Errorf("%s:\n%v\nexpected:\n%v", what, got, expected)
	}
}

func TestATransformIsTriedOnAFile(t *testing.T) {
	var config struct{ Suffix string }
	handler := func(r *Record, out *Emitter) error {
		switch string(r.Payload()) {
		case "filter":
			return nil
		case "reject":
			return Reject(1001, "no such unit")
		case "retry":
			return fmt.Errorf("oops")
		case "release":
			return Release()
		case "port":
			out.Emit(Output{Port: "late", Payload: []byte{0xff}})
			return nil
		}
		o := r.Output()
		o.Payload = append(o.Payload, config.Suffix...)
		out.Emit(o)
		return nil
	}
	file := filepath.Join(t.TempDir(), "records")
	lines := `{"text": "a", "key": "k"}` + "\n\n" + `{"text": "filter"}` + "\n" + `{"text": "reject"}` + "\n" + `{"text": "port"}`
	if err := os.WriteFile(file, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorker(handler, nil, []Option{Config(&config)})
	stdout, stderr, code := try(t, w, "", "mine", "--test", file, "--config", `{"suffix": "!"}`)
	expectTrial(t, "stdout", stdout, `{"key": "k", "text": "a!"}`+"\n"+`{"port": "late", "base64": "/w=="}`+"\n")
	expectTrial(t, "stderr", stderr, "record 3: REJECTED 1001: no such unit\n4 records: 3 accepted (1 filtered), 1 rejected, 0 to be retried, 0 released; 2 emitted\n")
	expectTrial(t, "code", code, 1)

	config.Suffix = ""
	stdout, stderr, code = try(t, newWorker(handler, nil, nil), `{"text": "a"}`+"\n", "--test=-")
	expectTrial(t, "all", fmt.Sprint(stdout, stderr, code), `{"text": "a"}`+"\n1 records: 1 accepted (0 filtered), 0 rejected, 0 to be retried, 0 released; 1 emitted\n0")
	_, stderr, code = try(t, newWorker(handler, nil, nil), `{"text": "retry"}`+"\n"+`{"text": "release"}`, "--test", "-")
	if code != 1 || !strings.HasSuffix(stderr, "record 1: RETRY 1000: oops\nrecord 2: RELEASED\n2 records: 0 accepted (0 filtered), 0 rejected, 1 to be retried, 1 released; 0 emitted\n") {
		t.Error(code, stderr)
	}
}

func TestTrialsSayWhatIsWrong(t *testing.T) {
	var config struct{ Count int }
	for _, c := range []struct{ input, config, sentence string }{
		{"{}\n[1]\n", "{}", "standard input:2: not a JSON object"},
		{`{"atributes": {}}`, "{}", "standard input:1: atributes: a record has no such field"},
		{`{"text": "a", "json": 1}`, "{}", "json, text: only one of them"},
		{`{"text": 1}`, "{}", "text: expected a text, got number"},
		{`{"key": null}`, "{}", "key: null"},
		{`{"base64": "A"}`, "{}", "base64: not base64"},
		{`{"event_time": "yesterday"}`, "{}", `event_time: "yesterday" is no time`},
		{`{"attributes": {"a": {"b": 1}}}`, "{}", "attributes: a: an attribute is"},
		{`{"schema_version": -1}`, "{}", "schema_version: expected an integer"},
		{`{"lineage": {"id": "abc"}}`, "{}", "lineage: id: an id is 32"},
		{`{"key": "` + strings.Repeat("k", 1025) + `"}`, "{}", "a key of 1025 bytes"},
		{"", `{"count": "x"}`, "config.count: expected an integer"},
		{"", "@/does/not/exist", "/does/not/exist"},
	} {
		_, stderr, code := try(t, newWorker(double, nil, []Option{Config(&config)}), c.input, "--test", "-", "--config", c.config)
		if code != 2 || !strings.Contains(stderr, c.sentence) {
			t.Errorf("%s %s: %d %s", c.input, c.config, code, stderr)
		}
	}
	for _, arguments := range [][]string{{"--test"}, {"--test", "-", "--limit", "0"}, {"--config", "{}", "--test"}} {
		if _, err := parseTrial(arguments, false); err == nil {
			t.Error(arguments)
		}
	}
	for _, arguments := range [][]string{{}, {"input"}, {"--config", "mine"}, {"--limit"}} {
		if trial, err := parseTrial(arguments, false); trial != nil || err != nil {
			t.Error(arguments, err)
		}
	}
}

func TestWindowsAndSourcesAreTried(t *testing.T) {
	line := `{"key": "k", "text": "%s", "event_time": "2026-01-05T10:30:%sZ"}` + "\n"
	input := fmt.Sprintf(line+line+line+line, "a", "00", "b", "09.9999995", "c", "21", "d", "05")
	stdout, stderr, code := try(t, windowWorker(Bounds{EventTime: 10 * time.Second}, joining), input, "--test", "-")
	expectTrial(t, "stdout", stdout, `{"text": "a+b", "event_time": "2026-01-05T10:30:00.000000Z"}`+"\n"+`{"text": "c", "event_time": "2026-01-05T10:30:20.000000Z"}`+"\n")
	expectTrial(t, "stderr", stderr, "record 4: REJECTED 1000: late: its window ended at 2026-01-05T10:30:10.000000Z\n4 records: 3 accepted (0 filtered), 1 rejected, 0 to be retried, 0 released; 2 emitted\n")
	expectTrial(t, "code", code, 1)

	stdout, stderr, code = try(t, newWorker(nil, counting(1000), nil), "", "--test", "--limit", "2")
	expectTrial(t, "source", fmt.Sprint(stdout, stderr, code), "{\"text\": \"0\"}\n{\"text\": \"1\"}\n2 emitted\n0")
	_, stderr, code = try(t, newWorker(nil, func(*Source) error { return fmt.Errorf("no disk") }, nil), "", "--test")
	if code != 1 || !strings.Contains(stderr, "no disk") {
		t.Error(code, stderr)
	}
}

func TestRecordsSurviveJSON(t *testing.T) {
	const seed = 11
	r := newRandom(seed)
	for n := 0; n < 3000; n++ {
		o := Output{Schema: randomText(r), SchemaVersion: uint32(r.Intn(3)) * 200, Key: randomBytes(r, 4), Payload: randomBytes(r, 30)}
		switch r.Intn(3) {
		case 0:
			o.ContentType, o.Payload = "application/json", []byte(fmt.Sprintf(`{"a":[%v,"%s"]}`, r.NormFloat64(), randomText(r)))
		case 1:
			o.Payload = []byte(randomText(r))
		}
		if r.Intn(2) == 0 {
			o.EventTime = time.UnixMicro(r.Int63n(1<<55) - 1<<54).UTC()
		}
		for i, name := range []string{"a", "ü", ""} {
			switch r.Intn(5) {
			case 0:
				o.Attributes = append(o.Attributes, Text(name, randomText(r)))
			case 1:
				o.Attributes = append(o.Attributes, Integer(name, r.Int63()-r.Int63()))
			case 2:
				o.Attributes = append(o.Attributes, Number(name, []float64{0, 1, -2.5, 1e300, 1e-9, math.Copysign(0, -1), 123456789012345680}[r.Intn(7)]))
			case 3:
				o.Attributes = append(o.Attributes, Flag(name, i == 1))
			}
		}
		line := o.appendJSON(nil, "")
		if !json.Valid(line) || bytes.ContainsRune(line, '\n') {
			t.Fatalf("seed %d, round %d: %s", seed, n, line)
		}
		read, err := parseRecord(line)
		if err != nil {
			t.Fatalf("seed %d, round %d: %s: %v", seed, n, line, err)
		}
		if before, after := o.appendTo(nil), read.output.appendTo(nil); !bytes.Equal(before, after) {
			t.Fatalf("seed %d, round %d: %s: %x, expected %x", seed, n, line, after, before)
		}
	}
}

func TestWhatTheBrokerAddsIsRead(t *testing.T) {
	line := `{"json": {"a" : 1.50}, "attempt": 3, "input": "up.late", "event_time": "2026-01-05T12:30:00.1234567+02:00",
		"lineage": {"id": "00112233445566778899aabbccddeeff", "root": "00112233445566778899aabbccddeeff", "news": 1,
		"ingest_time": "2026-01-05T10:30:01.250000Z", "hops": [{"stage": "ingest", "version": "1.2", "time": "2026-01-05T10:30:01.260000Z", "attempt": 2}]}}`
	seen := false
	_, stderr, code := try(t, newWorker(func(r *Record, out *Emitter) error {
		stage, port := r.Input()
		l, err := r.Lineage()
		if err != nil {
			return err
		}
		seen = r.Attempt() == 3 && stage == "up" && port == "late" && string(r.Payload()) == `{"a":1.50}` && r.ContentType() == "application/json" &&
			r.EventTime().Format(timeLayout) == "2026-01-05T10:30:00.123456Z" && l.ID == l.Root && l.ID.String()[:4] == "0011" &&
			l.Hops[0].Stage == "ingest" && l.Hops[0].Attempt == 2 && l.Hops[0].Time.Sub(l.IngestTime) == 10*time.Millisecond && r.Context().Err() == nil
		return nil
	}, nil, nil), strings.ReplaceAll(line, "\n", " "), "--test", "-")
	if !seen || code != 0 {
		t.Fatal(stderr)
	}
}

// The quick start's code is the example, and its commands do what it says.
func TestQuickStart(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("example/shout/main.go")
	if err != nil {
		t.Fatal(err)
	}
	code := regexp.MustCompile("(?s)```go\n(package main.*?)```").FindSubmatch(readme)[1]
	if !bytes.HasSuffix(example, code) {
		t.Fatalf("README.md has other code than example/shout:\n%s", code)
	}
	commands := regexp.MustCompile("(?s)```sh\n(go build.*?)```\n\n```text\n(.*?)```").FindSubmatch(readme)
	directory := t.TempDir()
	script := strings.ReplaceAll(strings.ReplaceAll(string(commands[1]), "-o shout", "-o "+directory+"/shout"), "./shout ", directory+"/shout ")
	got, err := exec.Command("sh", "-e", "-c", script+" 2>&1").CombinedOutput()
	if err != nil || string(got) != string(commands[2]) {
		t.Fatalf("%v: %s", err, got)
	}
}

func TestExamplesDoWhatTheySay(t *testing.T) {
	directory := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", directory, "./example/...").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	numbers, err := exec.Command(directory+"/numbers", "--test", "--config", `{"count": 3}`).Output()
	if err != nil || string(numbers) != "{\"text\": \"0\"}\n{\"text\": \"1\"}\n{\"text\": \"2\"}\n" {
		t.Fatalf("%v: %s", err, numbers)
	}
	mean := exec.Command(directory+"/mean", "--test", "-")
	mean.Stdin = strings.NewReader(`{"key": "s", "json": {"celsius": 1}, "event_time": "2026-01-05T10:30:00Z"}` + "\n" +
		`{"key": "s", "json": {"celsius": 4}, "event_time": "2026-01-05T10:30:59Z"}` + "\n" + `{"key": "r", "text": "x", "event_time": "2026-01-05T10:30:59Z"}`)
	out, _ := mean.Output()
	if string(out) != `{"key": "s", "json": {"complete":true,"mean":2.5,"readings":2}, "content_type": "application/json", "event_time": "2026-01-05T10:30:00.000000Z"}`+"\n" || mean.ProcessState.ExitCode() != 1 {
		t.Fatalf("%s", out)
	}
}
