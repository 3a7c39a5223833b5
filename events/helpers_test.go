package events_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gemini-client/events"
)

const (
	someID = "0190f5a1-7c3e-7b1a-9a55-2f6e1c0d4b3a"
	// secret stands for texts that must never be in an error.
	secret = "the launch code is 4711"
)

func now() time.Time { return time.Date(2026, 11, 23, 8, 30, 0, 123456000, time.UTC) }

func rules() events.Rules {
	return events.Rules{
		DefaultModel:    "google/gemini-2.5-flash",
		DefaultCallback: "gemini.responses",
		Callbacks:       []string{"gemini.responses"},
		Models:          []string{"google/*", "~google/*"},
		Plugins:         []string{"file-parser"},
		Tiers:           []string{"flex"},
		BodiesBucket:    "GEMINI_BODIES",
		MaxBody:         events.MaxBody,
	}
}

// body is a minimal request with further members, given as JSON text.
func body(members ...string) string {
	all := append([]string{`"request_id":"` + someID + `"`}, members...)
	return "{" + strings.Join(all, ",") + "}"
}

// asked is body with a prompt.
func asked(members ...string) string {
	return body(append([]string{`"prompt":"Hi"`}, members...)...)
}

func decode(t *testing.T, body string) events.Request {
	t.Helper()
	request, err := rules().Decode([]byte(body), now())
	if err != nil {
		t.Fatalf("Decode(%s)\n got error %v\nwant none", cut(body), err)
	}
	return request
}

// decodeFailure decodes a body that must end in a Failure.
func decodeFailure(t *testing.T, r events.Rules, body string) (events.Request, events.Failure) {
	t.Helper()
	request, err := r.Decode([]byte(body), now())
	var failure events.Failure
	if !errors.As(err, &failure) {
		t.Fatalf("Decode(%s)\n got error %v\nwant a Failure", cut(body), err)
	}
	if errors.Is(err, events.ErrNoID) {
		t.Fatalf("Decode(%s)\n got %v, which is ErrNoID too\nwant a Failure alone", cut(body), err)
	}
	return request, failure
}

func golden(tb testing.TB, name string) []byte {
	tb.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return content
}

// goldens returns the golden messages whose names begin with prefix, by name.
func goldens(tb testing.TB, prefix string) map[string][]byte {
	tb.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", prefix+"*.json"))
	if err != nil || len(paths) == 0 {
		tb.Fatalf("golden messages %s*: got %v, error %v; want some", prefix, paths, err)
	}
	found := map[string][]byte{}
	for _, path := range paths {
		found[filepath.Base(path)] = golden(tb, filepath.Base(path))
	}
	return found
}

func cut(s string) string {
	if len(s) > 300 {
		return s[:300] + "…"
	}
	return s
}

func raw(s string) json.RawMessage { return json.RawMessage(s) }
