package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/bus"
	"gemini-client/service/servicetest"
)

// walked is a stored result.
func walked(at time.Time, body string) bus.Walked {
	return bus.Walked{Subject: events.Completed("gemini.responses", servicetest.NewID()), Time: at, Data: []byte(body)}
}

// Results are grouped by when they were stored, in UTC, whatever they say themselves.
func TestSpendingByTime(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 28, 1, 30, 0, 0, time.FixedZone("", 2*3600))
	for by, want := range map[string]string{
		"day":  "2026-11-27 2 0.75, 2026-11-28 1 1",
		"hour": "2026-11-27T23:00Z 2 0.75, 2026-11-28T00:00Z 1 1",
	} {
		s := newSpending(at, at, by)
		for after, cost := range map[time.Duration]float64{0: 0.5, 29 * time.Minute: 0.25, time.Hour: 1} {
			s.add(walked(at.Add(after), fmt.Sprintf(`{"status":"success","cost":%v,"timestamp":"2001-01-01T00:00:00Z"}`, cost)))
		}
		s.finish()
		var got []string
		for _, g := range s.Groups {
			got = append(got, fmt.Sprint(g.Name, " ", g.Requests, " ", g.Cost))
		}
		if text := strings.Join(got, ", "); text != want {
			t.Errorf("by %s: got %s, want %s", by, text, want)
		}
	}
}

// Names come from outside: neither many of them nor long ones take memory without end.
func TestSpendingOfManyNames(t *testing.T) {
	t.Parallel()
	s := newSpending(time.Time{}, time.Time{}, "model")
	const more = 10
	for i := range groupsKept + more {
		s.add(walked(time.Time{}, fmt.Sprintf(`{"status":"success","model_used":"%d%s","cost":1}`, i, strings.Repeat("é", groupName))))
	}
	s.finish()
	if len(s.Groups) != groupsKept+1 || s.Groups[0].Name != groupOthers || s.Groups[0].Cost != more || s.Total.Requests != groupsKept+more {
		t.Errorf("%d groups, the first is %+v", len(s.Groups), s.Groups[0])
	}
	if longest := slices.MaxFunc(s.Groups, func(a, b group) int { return len(a.Name) - len(b.Name) }); len(longest.Name) > groupName {
		t.Errorf("a name has %d bytes", len(longest.Name))
	}
}

// Sums of money show no binary rounding errors.
func TestSumsAreDecimal(t *testing.T) {
	t.Parallel()
	var s sums
	for range 1000 {
		s.add(&told{Status: events.StatusSuccess, Cost: new(0.0001493)})
	}
	if got := amount(&s.Cost); got != "0.1493" {
		t.Errorf("got %s", got)
	}
}

func TestOldestKept(t *testing.T) {
	t.Parallel()
	since := time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		state jetstream.StreamState
		want  bool
	}{
		"nothing was ever there": {jetstream.StreamState{}, false},
		"nothing is gone":        {jetstream.StreamState{Msgs: 1, FirstSeq: 1, FirstTime: since.Add(time.Hour)}, false},
		"only older ones":        {jetstream.StreamState{Msgs: 1, FirstSeq: 9, FirstTime: since}, false},
		"some since then":        {jetstream.StreamState{Msgs: 1, FirstSeq: 9, FirstTime: since.Add(time.Hour)}, true},
		"all":                    {jetstream.StreamState{FirstSeq: 9, LastSeq: 8}, true},
	} {
		if got := oldestKept(c.state, since); (got != nil) != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestNoFormula(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"": "", "=1+1": "'=1+1", "+1": "'+1", "-1": "'-1", "@x": "'@x", "google/x": "google/x", "…=": "…="} {
		if got := noFormula(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// FuzzTold: whatever is stored, a sum stays one that can be printed, and a result that
// the library reads with numbers that can be is read the same.
func FuzzTold(f *testing.F) {
	id := servicetest.NewID()
	result := events.Request{ID: id}.Completed("yes", time.Now())
	result.Usage, result.Cost = &events.Usage{PromptTokens: 3, CompletionTokens: 4, CachedTokens: new(2)}, new(0.25)
	body, err := result.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(events.Completed("gemini.responses", id), "cdef", body)
	f.Add(events.Failed("a", id), "%zz", []byte(`{"status":"error","cost":1e6,"usage":{"prompt_tokens":1e9}}`))
	f.Add("x", "", []byte(`{"status":"success","cost":1e999}`))
	f.Fuzz(func(t *testing.T, subject, key string, body []byte) {
		w := bus.Walked{Subject: subject, Header: map[string][]string{events.HeaderKey: {key}}, Data: body}
		for _, by := range append(dimensionNames(), "") {
			s := newSpending(time.Time{}, time.Time{}, by)
			s.add(w)
			s.finish()
			if _, err := json.Marshal(s); err != nil || s.Total.Cost < 0 || s.Total.Requests+s.Unreadable != 1 || len(s.table()) == 0 {
				t.Fatalf("by %q: %v, %+v", by, err, s)
			}
		}
		decoded, err := events.DecodeResult(body)
		read, ok := readTold(w)
		if !ok || err != nil {
			return
		}
		if (read.Cost == nil) != (decoded.Cost == nil) || read.Cost != nil && *read.Cost != *decoded.Cost || read.Status != decoded.Status || (read.Usage == nil) != (decoded.Usage == nil) {
			t.Errorf("got %+v, the library %+v", read, decoded)
		}
	})
}
