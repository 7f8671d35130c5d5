package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	stagewire "stagewire.dev/sdk/go"
)

const group = `{"bucket":"2026-01-01T00:03:00Z","entity":"pump 1/2","kind":"open","count":2,"sum":-2,"min":-6,"max":4}`

// ask asks a service that answers by `answer`.
func ask(t *testing.T, ctx context.Context, answer http.HandlerFunc) error {
	t.Helper()
	server := httptest.NewServer(answer)
	defer server.Close()
	_, err := (&client{URL: server.URL, Timeout: 200}).details(ctx, "pump", "7")
	return err
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func text(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }
}

func TestAGroupGetsItsEntitysDetails(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/entities/pump 1/2" || len(r.Header.Get("X-Request-Id")) != 32 {
			t.Errorf("%s with %v", r.URL.Path, r.Header)
		}
		_, _ = w.Write([]byte(`{"site":"north","tier":"gold"}`))
	}))
	defer server.Close()
	out, outputs := stagewire.Recorder()
	record := stagewire.NewRecord(stagewire.Output{Key: []byte("pump 1/2"), EventTime: time.Unix(1767225780, 0), Payload: []byte(group)})
	if err := enrich(&client{URL: server.URL, Timeout: 1000}, record, out); err != nil {
		t.Fatal(err)
	}
	result := outputs()[0]
	if want := group[:len(group)-1] + `,"site":"north","tier":"gold"}`; string(result.Payload()) != want {
		t.Fatalf("%s", result.Payload())
	}
	if string(result.Key()) != "pump 1/2" || result.EventTime().Unix() != 1767225780 {
		t.Fatalf("%+v", result.Output())
	}
}

func TestFailuresAreTriedAgainWhereThatCanHelp(t *testing.T) {
	for want, answer := range map[string]http.HandlerFunc{
		"1003 the service answered 500":              status(500),
		"1003 the service answered 429":              status(429),
		`1004 the service answered "soon"`:           text("soon"),
		`1004 the service answered "{}"`:             text("{}"),
		"1002 the service did not answer in time":    func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"1002 the service did not answer: EOF":       func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"1005 the service answered 404, and will so": status(404),
		"1005 the service answered 204, and will so": status(204),
	} {
		var failed *failure
		if err := ask(t, context.Background(), answer); !errors.As(err, &failed) {
			t.Fatalf("%s: %v", want, err)
		}
		code, words, _ := strings.Cut(want, " ")
		message, _, isFinal := strings.Cut(words, ", and will so")
		if failed.message != message || failed.isFinal != isFinal || code != "100"+string(rune('0'+failed.code%10)) {
			t.Errorf("%+v, want %s", failed, want)
		}
	}
}

func TestAWorkerThatStopsBlamesNobody(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	err := ask(t, ctx, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	if !errors.Is(err, context.Canceled) || verdict(err) != err {
		t.Fatal(err)
	}
}

func TestWhatIsNoGroupIsNotAskedFor(t *testing.T) {
	out, _ := stagewire.Recorder()
	record := stagewire.NewRecord(stagewire.Output{Payload: []byte("nonsense")})
	if err := enrich(nil, record, out); err == nil || !strings.Contains(err.Error(), "invalid character") {
		t.Fatal(err)
	}
}

func TestAConfigurationIsChecked(t *testing.T) {
	t.Setenv("ENRICH_URL", "")
	for want, wrong := range map[string]*client{"url": {Timeout: 1}, "timeout_ms": {URL: "http://x"}} {
		if err := wrong.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	t.Setenv("ENRICH_URL", "http://other")
	c := &client{URL: "http://x", Timeout: 1}
	if err := c.Validate(); err != nil || c.URL != "http://other" {
		t.Error(err, c.URL)
	}
}
