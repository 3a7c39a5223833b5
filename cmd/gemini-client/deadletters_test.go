package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"gemini-client/events"
	"gemini-client/service/servicetest"
)

// secret is a prompt that no command may show unless it is asked to.
const secret = "Grüße, the secret word is <mango>"

// lines reads what list --json prints.
func lines(t *testing.T, out string) (all []deadLetter) {
	t.Helper()
	for line := range strings.Lines(out) {
		var l deadLetter
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		all = append(all, l)
	}
	return all
}

func TestListDeadLetters(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.expect([]string{"deadletters", "list"}, "no dead letters")
	b.work()
	first := b.failure(secret+" [sim:model_deprecated]", nil)
	second := b.failure(secret+" [sim:503]", nil)
	b.Publish([]byte(`{"prompt":"`+secret+`"}`), nil)
	b.Until("three dead letters", func() (string, bool) { n := b.count(b.Names.DeadlettersStream()); return fmt.Sprint(n), n == 3 })

	out := b.expect([]string{"deadletters", "list"}, "SEQUENCE", "REASON", "model_unavailable     "+first, "upstream_unavailable  "+second, "invalid_request ", " -  ", "GEMINI_REQUESTS/1", "request_id is missing")
	if strings.Contains(out, "mango") {
		t.Errorf("a prompt shows:\n%s", out)
	}
	all := lines(t, b.command(0, "deadletters", "list", "--json"))
	if len(all) != 3 || all[0].RequestID != first || all[0].Code != events.ModelUnavailable || all[0].From != "GEMINI_REQUESTS/1" || all[0].Reason == "" || all[2].RequestID != "" {
		t.Fatalf("dead letters: %+v", all)
	}
	at := all[1].Time.Format("2006-01-02T15:04:05.999999999Z07:00")
	for want, args := range map[string][]string{
		"1":       {"--code", "model_unavailable"},
		"2":       {"--id", strings.ToUpper(second)},
		"3":       {"--code", "invalid_request", "--since", "1h"},
		"":        {"--code", "model_unavailable", "--id", second},
		"1 2":     {"--limit", "2"},
		"2 3":     {"--since", at},
		"1 ":      {"--before", at},
		" ":       {"--before", "1h"},
		"1 2 3":   {"--limit", "0"},
		"  1 2 3": {"--since", "1h", "--before", "0s"},
	} {
		var got []string
		for _, l := range lines(t, b.command(0, append([]string{"deadletters", "list", "--json"}, args...)...)) {
			got = append(got, fmt.Sprint(l.Sequence))
		}
		if strings.Join(got, " ") != strings.TrimSpace(want) {
			t.Errorf("%v: got %v, want %s", args, got, want)
		}
	}
	b.expect([]string{"deadletters", "list", "--limit", "2"}, "only the oldest 2")
}

// Prompts stay on the server while dead letters are listed.
func TestListLeavesBodies(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.put(b.Names.Deadletter(events.Internal, servicetest.NewID()), nil, make([]byte, 500_000))
	client, err := openAdminClient(t.Context(), &source{file: b.file}, streams{out: &output{}, err: &output{}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.close()
	found, err := client.deadLetters(t.Context(), selection{code: "*", id: "*"})
	if n := client.conn.Stats().InBytes; err != nil || len(found) != 1 || n > 100_000 {
		t.Errorf("%d dead letters, %d bytes read, %v", len(found), n, err)
	}
}

func TestShowDeadLetter(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.work()
	id := servicetest.NewID()
	body := servicetest.Body(id, secret+" [sim:model_deprecated]", map[string]any{"deadline": "2100-01-01T00:00:00Z"})
	b.Publish(body, nats.Header{"X-Own": {"kept \x1b[31m" + servicetest.Key}, "Nats-Msg-Id": {"mine"}})
	b.Result(id)
	for _, name := range []string{"1", id} {
		out := b.expect([]string{"deadletters", "show", name}, "request_id   "+id, "model_unavailable", "X-Own: kept", "Gemini-Original-Nats-Msg-Id: mine", "google/gemini-2.5-flash", "deadline     2100", "--body")
		for _, never := range []string{"mango", "\x1b", "0123456789"} {
			if strings.Contains(out, never) {
				t.Errorf("%q shows:\n%s", never, out)
			}
		}
	}
	if out := b.command(0, "deadletters", "show", "--body", "1"); out != string(body) {
		t.Errorf("body: got %s, want %s", out, body)
	}
	var shown shownDeadLetter
	if out := b.command(0, "deadletters", "show", "--json", id); json.Unmarshal([]byte(out), &shown) != nil || shown.Body != nil || shown.Bytes != len(body) || strings.Contains(out, "mango") {
		t.Errorf("--json: %s", out)
	}
	if out := b.command(0, "deadletters", "show", "--json", "--body", id); json.Unmarshal([]byte(out), &shown) != nil || *shown.Body != string(body) {
		t.Errorf("--json --body: %s", out)
	}
	contains(t, b.command(1, "deadletters", "show", "99"), "there is no dead letter 99")
	contains(t, b.command(1, "deadletters", "show", servicetest.NewID()), "there is no dead letter")
	contains(t, b.command(2, "deadletters", "show", "x"), `"x" is neither`)
}

func TestPurgeDeadLetters(t *testing.T) {
	t.Parallel()
	b := setup(t)
	stream := b.Names.DeadlettersStream()
	b.work()
	one, two, three := b.failure("a [sim:model_deprecated]", nil), b.failure("b [sim:503]", nil), b.failure("c [sim:503]", nil)
	b.expect([]string{"deadletters", "purge", "--all", "--dry-run"}, one, two, three, "3 would be deleted")
	b.expect([]string{"deadletters", "purge", "--before", "1h"}, "0 deleted")
	if n := b.count(stream); n != 3 {
		t.Fatalf("dead letters: %d, want 3", n)
	}
	contains(t, b.command(1, "deadletters", "purge", "1", "99"), "there is no dead letter 99")
	b.expect([]string{"deadletters", "purge", "--code", "upstream_unavailable", "--limit", "1"}, "1 deleted")
	if left := lines(t, b.command(0, "deadletters", "list", "--json")); len(left) != 2 || left[0].RequestID != one || left[1].RequestID != three {
		t.Errorf("left: %+v", left)
	}
	b.expect([]string{"deadletters", "purge", "1", three}, "2 deleted")
	if n := b.count(stream); n != 0 {
		t.Errorf("dead letters: %d", n)
	}
	if n := b.count(b.Names.ResponsesStream()); n != 3 {
		t.Errorf("results: %d, want all 3", n)
	}
}
