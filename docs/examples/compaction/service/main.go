// Service stands for somebody else's service, for the demo and its test: it tells an entity's site and tier, and has
// faults. `service [-port N] [-faults SHARE] [-seed N] [-stall DURATION] [-lost PREFIX]` prints its port on the first line
// of its output, and at SIGTERM what it has answered.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"stagewire.dev/examples/compaction/event"
)

var (
	sites = []string{"harbour", "mill", "north", "quarry", "station", "tower", "works"}
	tiers = []string{"bronze", "silver", "gold"}
)

type service struct {
	faults faults
	stall  time.Duration
	lost   string // entities whose names begin so are never answered for

	mu    sync.Mutex
	tries map[string]int // by request
	count map[string]int // by what was done
}

func main() {
	port := flag.Int("port", 8378, "0: any that is free")
	share := flag.Float64("faults", 0.12, "share of requests that fail one to three times before they are answered")
	seed := flag.Uint64("seed", 1, "the same requests fail in the same ways")
	stall := flag.Duration("stall", 2*time.Second, "how long an answer takes that comes too late")
	lost := flag.String("lost", "lost-", "entities whose names begin so always fail")
	flag.Parse()
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", *port))
	if err != nil {
		fmt.Fprintln(os.Stderr, "service:", err)
		os.Exit(1)
	}
	s := &service{faults: faults{*share, *seed}, stall: *stall, lost: *lost, tries: map[string]int{}, count: map[string]int{}}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, os.Interrupt)
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	go func() {
		fmt.Fprintln(os.Stderr, "service:", http.Serve(listener, s))
		os.Exit(1)
	}()
	<-stop
	fmt.Println(s.summary())
}

// ServeHTTP answers GET /entities/NAME.
func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/entities/")
	if r.Method != http.MethodGet || name == "" || name == r.URL.Path {
		s.did("refused")
		http.NotFound(w, r)
		return
	}
	if s.lost != "" && strings.HasPrefix(name, s.lost) {
		s.did("lost")
		http.Error(w, "its record is locked", http.StatusServiceUnavailable)
		return
	}
	switch fault := s.faults.of(r.Header.Get("X-Request-Id"), s.try(r)); fault {
	case failed:
		s.did("500")
		http.Error(w, "out of order", http.StatusInternalServerError)
	case stalled:
		s.did("stalled")
		select {
		case <-time.After(s.stall):
		case <-r.Context().Done():
		}
		reset(w)
	case cut:
		s.did("reset")
		reset(w)
	default:
		s.did("answered")
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(details(name)) // who does not read it asks again
	}
}

// details are a function of the name, so that whoever checks the output can compute them.
func details(name string) event.Details {
	sum := checksum(name)
	return event.Details{Site: sites[sum%7], Tier: tiers[sum/7%3]}
}

// try counts the tries of a request, from 0.
func (s *service) try(r *http.Request) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := r.Header.Get("X-Request-Id")
	s.tries[id]++
	return s.tries[id] - 1
}

func (s *service) did(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count[what]++
}

func (s *service) summary() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprintf("the service answered %d requests; %d it failed with 500, %d it stalled, %d it reset, %d were for lost entities",
		s.count["answered"], s.count["500"], s.count["stalled"], s.count["reset"], s.count["lost"])
}

// reset ends a connection by RST, as a machine that went away would.
func reset(w http.ResponseWriter) {
	hijacker, ok := w.(http.Hijacker)
	if !ok {
		panic(http.ErrAbortHandler)
	}
	connection, _, err := hijacker.Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := connection.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // unread data is thrown away, and RST sent in place of FIN
	}
	connection.Close()
}
