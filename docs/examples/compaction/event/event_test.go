package event

import (
	"strings"
	"testing"
)

func TestAnEventIsRead(t *testing.T) {
	e, err := Parse([]byte(`{"time":"2026-01-01T01:00:07.5+01:00","entity":"pump-1","kind":"open","value":-3,"more":[1]}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := e.Time.Format("2006-01-02T15:04:05.000Z"); got != "2026-01-01T00:00:07.500Z" || e.Entity != "pump-1" || e.Kind != "open" || e.Value != -3 {
		t.Fatalf("%+v", e)
	}
}

func TestWhatIsNoEventIsRefused(t *testing.T) {
	for line, want := range map[string]string{
		``:                                    "unexpected end",
		`{"time":"2026-`:                      "unexpected end",
		`[]`:                                  "cannot unmarshal",
		`{"entity":"a","kind":"k","value":1}`: "no time",
		`{"time":"yesterday","entity":"a","kind":"k","value":1}`:                                           "yesterday",
		`{"time":"1970-01-01T00:00:00Z","entity":"a","kind":"k","value":1}`:                                "before 1970",
		`{"time":"2026-01-01T00:00:00Z","kind":"k","value":1}`:                                             "entity of 0",
		`{"time":"2026-01-01T00:00:00Z","entity":"a","value":1}`:                                           "kind of 0",
		`{"time":"2026-01-01T00:00:00Z","entity":"a","kind":"k"}`:                                          "no value",
		`{"time":"2026-01-01T00:00:00Z","entity":"a","kind":"k","value":1.5}`:                              "cannot unmarshal",
		`{"time":"2026-01-01T00:00:00Z","entity":"a","kind":"k","value":1000000001}`:                       "beyond",
		`{"time":"2026-01-01T00:00:00Z","entity":"` + strings.Repeat("a", 201) + `","kind":"k","value":1}`: "entity of 201",
		strings.Repeat(" ", MaxLine+1):                                                                     "more than 4096",
	} {
		if _, err := Parse([]byte(line)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80q: %v, want %q", line, err, want)
		}
	}
}

func TestAGroupSumsUp(t *testing.T) {
	var g Group
	for _, value := range []int64{5, -2, 9} {
		g.Add(value)
	}
	if g.Count != 3 || g.Sum != 12 || g.Min != -2 || g.Max != 9 {
		t.Fatalf("%+v", g)
	}
}
