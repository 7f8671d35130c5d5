package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	stagewire "stagewire.dev/sdk/go"
)

func opened(t *testing.T, path string) *results {
	t.Helper()
	r, err := openResults(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.file.Close() })
	return r
}

func someLines(ids ...string) (batch []line) {
	for _, id := range ids {
		batch = append(batch, line{id, lineOf(id, []byte(`{"count": 1}`))})
	}
	return batch
}

func expect(t *testing.T, path string, ids ...string) {
	t.Helper()
	want := ""
	for _, one := range someLines(ids...) {
		want += string(one.text)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Fatalf("%v:\n%swant:\n%s", err, got, want)
	}
}

func TestALineIsWrittenOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results")
	r := opened(t, path)
	for _, batch := range [][]line{someLines("a", "b"), someLines("b"), someLines("b", "c", "c", "a")} {
		if err := r.append(batch); err != nil {
			t.Fatal(err)
		}
	}
	expect(t, path, "a", "b", "c")
	r.file.Close()
	r = opened(t, path)
	if err := r.append(someLines("a", "d")); err != nil {
		t.Fatal(err)
	}
	expect(t, path, "a", "b", "c", "d")
}

func TestHalfALineIsCutOff(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results")
	whole := string(someLines("a")[0].text)
	if err := os.WriteFile(path, []byte(whole+`{"id":"b","cou`), 0o600); err != nil {
		t.Fatal(err)
	}
	r := opened(t, path)
	expect(t, path, "a")
	if err := r.append(someLines("b")); err != nil {
		t.Fatal(err)
	}
	expect(t, path, "a", "b")
}

func TestAFileOfSomethingElseIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results")
	if err := os.WriteFile(path, []byte("dear diary\nha"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openResults(path); err == nil || !strings.Contains(err.Error(), "byte 0 is no result") {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(path); string(got) != "dear diary\nha" {
		t.Fatalf("%q", got)
	}
}

func TestWhatFailedCanBeGivenAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results")
	r := opened(t, path)
	if err := r.append(someLines("a")); err != nil {
		t.Fatal(err)
	}
	good := r.file
	readOnly, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer readOnly.Close()
	r.file = readOnly
	for i := 0; i < 2; i++ { // writing fails, then cutting off
		if err := r.append(someLines("b", "c")); err == nil {
			t.Fatal("it was written")
		}
	}
	r.file = good
	// As if the first try had come as far as this.
	if _, err := good.WriteAt([]byte(`{"id":"b","count":1}`+"\n"+strings.Repeat("x", 100)), r.durable); err != nil {
		t.Fatal(err)
	}
	if err := r.append(someLines("b")); err != nil {
		t.Fatal(err)
	}
	expect(t, path, "a", "b")
}

func TestASuccessorWaitsForItsPredecessor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results")
	r := opened(t, path)
	waited := make(chan *results)
	go func() {
		next, err := openResults(path)
		if err != nil {
			t.Error(err)
		}
		waited <- next
	}()
	select {
	case <-waited:
		t.Fatal("two have the file")
	case <-time.After(50 * time.Millisecond):
	}
	if err := r.append(someLines("a")); err != nil {
		t.Fatal(err)
	}
	r.file.Close()
	next := <-waited
	defer next.file.Close()
	if err := next.append(someLines("a", "b")); err != nil {
		t.Fatal(err)
	}
	expect(t, path, "a", "b")
}

func TestAPayloadIsKeptWhateverItIs(t *testing.T) {
	for payload, want := range map[string]string{
		"{\"count\": 1,\n\"site\": \"n\"}": `{"id":"7","count":1,"site":"n"}`,
		"{}":                               `{"id":"7","base64":"e30="}`,
		"\xff\n":                           `{"id":"7","base64":"/wo="}`,
	} {
		if got := string(lineOf("7", []byte(payload))); got != want+"\n" {
			t.Errorf("%q: %s", payload, got)
		}
	}
}

func TestABatchIsWrittenWithItsRecordsIDs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results")
	s := &store{config: &configuration{File: path}}
	record := stagewire.NewRecord(stagewire.Output{Payload: []byte(`{"count":1}`)})
	if err := s.write([]*stagewire.Record{record}); err != nil {
		t.Fatal(err)
	}
	s.results.file.Close()
	expect(t, path, strings.Repeat("0", 32))
}
