package events_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gemini-client/events"
)

func TestResultHeader(t *testing.T) {
	t.Parallel()
	msgID := events.MessageID(someID, "6ba7b810-9dad-11d1-80b4-00c04fd430c8")
	local := now().In(time.FixedZone("", 3600))
	want := events.Header{
		"Nats-Msg-Id":        {someID + "/6ba7b810-9dad-11d1-80b4-00c04fd430c8"},
		"ce-specversion":     {"1.0"},
		"ce-id":              {someID + "/6ba7b810-9dad-11d1-80b4-00c04fd430c8"},
		"ce-source":          {"/gemini-client"},
		"ce-type":            {"gemini.request.completed.v1"},
		"ce-time":            {"2026-11-23T08:30:00.123456Z"},
		"ce-subject":         {someID},
		"ce-datacontenttype": {"application/json"},
		"Gemini-Tenant":      {"default"},
	}
	request := events.Request{ID: someID}
	got := events.ResultHeader(request.Completed("Hi", now().Add(-time.Second)), msgID, "/gemini-client", local)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ResultHeader of a completed result: -want +got\n%s", diff)
	}
	substituted := request.Completed("Hi", now())
	substituted.ModelRequested = "google/a b"
	want["Gemini-Model-Requested"] = []string{"google/a%20b"}
	if diff := cmp.Diff(want, events.ResultHeader(substituted, msgID, "/gemini-client", local)); diff != "" {
		t.Errorf("ResultHeader of another model's answer: -want +got\n%s", diff)
	}
	delete(want, "Gemini-Model-Requested")
	paid := request.Completed("Hi", now())
	paid.Key, want["Gemini-Key"] = "a%c\n", []string{"a%25c%0A"}
	if diff := cmp.Diff(want, events.ResultHeader(paid, msgID, "/gemini-client", local)); diff != "" {
		t.Errorf("ResultHeader with a key: -want +got\n%s", diff)
	}
	delete(want, "Gemini-Key")
	request.Tenant, want["Gemini-Tenant"] = "acme", []string{"acme"}
	want["ce-type"] = []string{"gemini.request.failed.v1"}
	got = events.ResultHeader(request.Failed(events.Failure{Code: events.Internal}, now()), msgID, "/gemini-client", local)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ResultHeader of a failed result: -want +got\n%s", diff)
	}
}

func TestResultHeaderPercentEncodes(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		"https://host:8080/a?b=c#d~!'()*": "https://host:8080/a?b=c#d~!'()*",
		`a "b" 100%`:                      "a%20%22b%22%20100%25",
		"Zürich 🙂":                        "Z%C3%BCrich%20%F0%9F%99%82",
		"a\r\nNats-Rollup: all":           "a%0D%0ANats-Rollup:%20all",
		"\x00\x1f\x7f":                    "%00%1F%7F",
	} {
		got := events.ResultHeader(events.Result{}, "id", source, now())["ce-source"]
		if diff := cmp.Diff([]string{want}, got); diff != "" {
			t.Errorf("ResultHeader with source %q: -want +got\n%s", source, diff)
		}
	}
}

func TestHeadersOfRetriesAndDeadLetters(t *testing.T) {
	t.Parallel()
	given := events.Header{
		"traceparent":                  {"00-1"},
		"Gemini-Retry-Count":           {"2"},
		"X":                            {"a", "b"},
		"Nats-Msg-Id":                  {"new"},
		"nats-rollup":                  {"all"},
		"NATS-":                        {""},
		"Nats":                         {"no prefix"},
		"Gemini-Original-Nats-Msg-Id":  {"old"},
		"Gemini-Original-Nats-Subject": {"old"},
	}
	retry := events.WithoutNATS(given)
	if diff := cmp.Diff(events.Header{
		"traceparent": {"00-1"}, "Gemini-Retry-Count": {"2"}, "X": {"a", "b"}, "Nats": {"no prefix"},
		"Gemini-Original-Nats-Msg-Id": {"old"}, "Gemini-Original-Nats-Subject": {"old"},
	}, retry); diff != "" {
		t.Errorf("WithoutNATS(%v): -want +got\n%s", given, diff)
	}
	dead := events.AsOriginal(given)
	if diff := cmp.Diff(events.Header{
		"traceparent": {"00-1"}, "Gemini-Retry-Count": {"2"}, "X": {"a", "b"}, "Nats": {"no prefix"},
		"Gemini-Original-Nats-Msg-Id": {"new"}, "Gemini-Original-Nats-Subject": {"old"},
		"Gemini-Original-nats-rollup": {"all"}, "Gemini-Original-NATS-": {""},
	}, dead); diff != "" {
		t.Errorf("AsOriginal(%v): -want +got\n%s", given, diff)
	}
	retry["X"][0], dead["Gemini-Original-Nats-Msg-Id"][0] = "changed", "changed"
	if given["X"][0] != "a" || given["Nats-Msg-Id"][0] != "new" {
		t.Errorf("a change of the copy\n got it in the original too: %v\nwant the original as it was", given)
	}
	if events.WithoutNATS(nil) == nil || events.AsOriginal(nil) == nil {
		t.Error("copies of no header\n got nil\nwant a header to write to")
	}
}

func TestCountsInHeaders(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		values []string
		want   uint64 // 0 means refused, but for "zero".
	}{
		"absent":       {nil, 0},
		"zero":         {[]string{"0"}, 0},
		"a count":      {[]string{"17"}, 17},
		"the first":    {[]string{"3", "4"}, 3},
		"largest":      {[]string{"2147483647"}, 2147483647},
		"no count":     {[]string{"2147483648"}, 2147483648},
		"a sequence":   {[]string{"18446744073709551615"}, 18446744073709551615},
		"negative":     {[]string{"-1"}, 0},
		"signed":       {[]string{"+1"}, 0},
		"spaced":       {[]string{" 1"}, 0},
		"a fraction":   {[]string{"1.0"}, 0},
		"hexadecimal":  {[]string{"0x1"}, 0},
		"a word":       {[]string{"many"}, 0},
		"empty":        {[]string{""}, 0},
		"beyond 64":    {[]string{"18446744073709551616"}, 0},
		"no value":     {[]string{}, 0},
		"empty, then1": {[]string{"", "1"}, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, spelling := range []func(string) string{strings.Clone, strings.ToLower, strings.ToUpper} {
				h := events.Header{}
				for _, header := range []string{events.HeaderRetryCount, events.HeaderTimeouts, events.HeaderStrikes, events.HeaderReplay} {
					if tt.values != nil {
						h[spelling(header)] = tt.values
					}
				}
				small := tt.want <= 1<<31-1
				wantCount, wantOK := 0, name == "zero" || small && tt.want > 0
				if small {
					wantCount = int(tt.want)
				}
				if n, ok := events.RetryCount(h); n != wantCount || ok != wantOK {
					t.Errorf("RetryCount(%v)\n got %d, %v\nwant %d, %v", h, n, ok, wantCount, wantOK)
				}
				if n, ok := events.Timeouts(h); n != wantCount || ok != wantOK {
					t.Errorf("Timeouts(%v)\n got %d, %v\nwant %d, %v", h, n, ok, wantCount, wantOK)
				}
				if n, ok := events.Strikes(h); n != wantCount || ok != wantOK {
					t.Errorf("Strikes(%v)\n got %d, %v\nwant %d, %v", h, n, ok, wantCount, wantOK)
				}
				if n, ok := events.Replay(h); n != tt.want || ok != (tt.want > 0) {
					t.Errorf("Replay(%v)\n got %d, %v\nwant %d, %v", h, n, ok, tt.want, tt.want > 0)
				}
			}
		})
	}
	both := events.Header{"gemini-strikes": {"1"}, "Gemini-Strikes": {"2"}, "GEMINI-STRIKES": {"3"}}
	if n, _ := events.Strikes(both); n != 2 {
		t.Errorf("Strikes(%v)\n got %d\nwant 2: the exact name goes first", both, n)
	}
	delete(both, "Gemini-Strikes")
	if n, _ := events.Strikes(both); n != 3 {
		t.Errorf("Strikes(%v)\n got %d\nwant 3: then the first in order", both, n)
	}
}
