package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestFaultsEnd(t *testing.T) {
	seen := map[fault]int{}
	faulty := 0
	for i := 0; i < 10_000; i++ {
		id, f := fmt.Sprint("request ", i), faults{0.12, 7}
		if f.of(id, 0) != none {
			faulty++
		}
		for try, before := 0, failed; try < 5; try++ {
			now := f.of(id, try)
			if try >= 3 && now != none || before == none && now != none {
				t.Fatalf("%s: try %d has fault %d", id, try, now)
			}
			seen[now]++
			before = now
		}
	}
	if faulty < 1000 || faulty > 1400 || seen[failed] < 300 || seen[cut] < 300 || seen[stalled] < 100 {
		t.Fatalf("%d of 10000 have faults: %v", faulty, seen)
	}
}

func TestOtherSeedsHaveOtherFaults(t *testing.T) {
	same := 0
	for i := 0; i < 1000; i++ {
		if id := fmt.Sprint(i); (faults{0.5, 1}).of(id, 0) == (faults{0.5, 2}).of(id, 0) {
			same++
		}
	}
	if same > 600 {
		t.Fatal(same)
	}
}

func TestItAnswers(t *testing.T) {
	s := &service{lost: "lost-", tries: map[string]int{}, count: map[string]int{}}
	server := httptest.NewServer(s)
	defer server.Close()
	for path, want := range map[string]string{
		// What verify.py computes with zlib.crc32.
		"/entities/device-07": `200 {"site":"tower","tier":"gold"}`,
		"/entities/lost-1":    "503 its record is locked",
		"/entities/":          "404 404 page not found",
		"/":                   "404 404 page not found",
	} {
		answer, err := http.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if got := fmt.Sprintf("%d %s", answer.StatusCode, strings.TrimSpace(string(body))); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

func TestItResetsAndFails(t *testing.T) {
	s := &service{faults: faults{1, 3}, tries: map[string]int{}, count: map[string]int{}}
	server := httptest.NewServer(s)
	defer server.Close()
	for i := 0; i < 40; i++ {
		question, _ := http.NewRequest(http.MethodGet, server.URL+"/entities/a", nil)
		question.Header.Set("X-Request-Id", fmt.Sprint("r", i))
		for try := 0; ; try++ {
			if answer, err := http.DefaultClient.Do(question); err == nil {
				answer.Body.Close()
				if answer.StatusCode == 200 {
					break
				}
			}
			if try > 10 {
				t.Fatalf("request %d is never answered", i)
			}
		}
	}
	if s.count["answered"] != 40 || s.count["500"] == 0 || s.count["reset"] == 0 || s.count["stalled"] == 0 {
		t.Fatal(s.summary())
	}
}
