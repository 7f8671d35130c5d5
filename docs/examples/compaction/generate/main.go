// Generate makes events to try the pipeline with: `generate [-events N] [-minutes N] [-seed N] FILE`. The same seed, the
// same file.
//
// The devices say most things several times, some of it out of order, a little of it minutes later than they should;
// now and then a line is no event. A few devices, whose names begin with "lost-", are those that the service cannot answer for.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"math"
	"math/rand"
	"os"
	"time"
)

const (
	entities   = 40
	malformed  = 0.001 // shares of lines
	outOfOrder = 0.2   // up to 25 s
	veryLate   = 0.02  // up to 4 min
	again      = 0.5   // that what was said is said once more
)

var (
	begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	// From the most frequent to the rarest.
	kinds = []string{"heartbeat", "move", "open", "close", "fault"}
	// Each of these is heard of in one minute only: what is retried holds back its own entity, so each further bucket
	// of it would wait for the one before to be given up.
	lost = []struct {
		entity string
		at     float64 // share of the whole time
		kinds  []string
	}{
		{"lost-1", 0.15, []string{"open"}}, {"lost-2", 0.25, []string{"close", "fault"}},
		{"lost-3", 0.35, []string{"fault"}}, {"lost-4", 0.45, []string{"move"}},
	}
)

type generator struct {
	chance *rand.Rand
	out    *bufio.Writer
	broken int
	lines  int
}

func main() {
	events := flag.Int("events", 20_000, "lines of the file, a few more at most")
	minutes := flag.Int("minutes", 50, "of event time")
	seed := flag.Int64("seed", 1, "the same seed, the same file")
	flag.Parse()
	if flag.NArg() != 1 || *events < 1 || *minutes < 1 {
		flag.Usage()
		os.Exit(2)
	}
	if err := write(flag.Arg(0), *events, *minutes, *seed); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func write(path string, events, minutes int, seed int64) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	g := &generator{chance: rand.New(rand.NewSource(seed)), out: bufio.NewWriter(file)}
	span := time.Duration(minutes) * time.Minute
	step := span / time.Duration(events)
	due := 0
	for g.lines < events {
		now := begin.Add(time.Duration(g.lines) * step)
		if due < len(lost) {
			if at := begin.Add(time.Duration(lost[due].at * float64(span))).Truncate(time.Minute).Add(30 * time.Second); !now.Before(at) {
				g.loseOne(at, due)
				due++
			}
		}
		g.say(now, g.entity(), g.kind())
	}
	if err := g.out.Flush(); err != nil {
		return err
	}
	fmt.Printf("generated %d lines of %d entities and %d minutes in %s: %d malformed, %d entities that the service has lost\n",
		g.lines, entities+len(lost), minutes, path, g.broken, due)
	return file.Close()
}

// entity is one of a few that are heard of all the time, or of many that are rarely.
func (g *generator) entity() string {
	return fmt.Sprintf("device-%02d", int(math.Pow(g.chance.Float64(), 1.7)*entities))
}

func (g *generator) kind() string {
	i := 0
	for i < len(kinds)-1 && g.chance.Float64() < 0.5 {
		i++
	}
	return kinds[i]
}

// loseOne has a lost entity heard of several times from the middle of a minute on, so that all of it falls into that one.
func (g *generator) loseOne(middle time.Time, which int) {
	for i := 0; i < 6; i++ {
		for _, kind := range lost[which].kinds {
			g.line(middle.Add(time.Duration(i)*time.Second), lost[which].entity, kind)
		}
	}
}

// say writes an event, and perhaps again.
func (g *generator) say(now time.Time, entity, kind string) {
	for {
		if g.chance.Float64() < malformed {
			g.nonsense(now, entity)
		} else {
			g.line(now.Add(-g.delay()), entity, kind)
		}
		if g.chance.Float64() >= again {
			return
		}
	}
}

// delay is by how much an event comes too late.
func (g *generator) delay() time.Duration {
	roll, longest := g.chance.Float64(), 500*time.Millisecond
	switch {
	case roll < veryLate:
		longest = 4 * time.Minute
	case roll < veryLate+outOfOrder:
		longest = 25 * time.Second
	}
	return time.Duration(g.chance.Int63n(int64(longest)))
}

func (g *generator) line(at time.Time, entity, kind string) {
	g.lines++
	fmt.Fprintf(g.out, `{"time":"%s","entity":"%s","kind":"%s","value":%d}`+"\n",
		at.Format("2006-01-02T15:04:05.000Z"), entity, kind, g.chance.Intn(1000))
}

func (g *generator) nonsense(at time.Time, entity string) {
	g.lines++
	g.broken++
	time := at.Format("2006-01-02T15:04:05.000Z")
	forms := []string{
		fmt.Sprintf(`{"time":"%s","entity":"%s","ki`, time, entity),
		fmt.Sprintf(`{"time":"%s","kind":"open","value":1}`, time),
		fmt.Sprintf(`{"time":"midnight","entity":"%s","kind":"open","value":1}`, entity),
		fmt.Sprintf(`{"time":"%s","entity":"%s","kind":"open","value":"much"}`, time, entity),
		"restarted",
	}
	fmt.Fprintln(g.out, forms[g.chance.Intn(len(forms))])
}
