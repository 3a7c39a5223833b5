package main

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// bench is what the commands for people on call work against: a NATS server with
// the service's streams, an OpenRouter, a backend, and workers if they are started.
type bench struct {
	*servicetest.Backend
	*program
	t          *testing.T
	nats       *servicetest.NATS
	openrouter *servicetest.OpenRouter
}

// setup runs no worker. There are no retries by schedule: a request that fails
// leaves a dead letter at once. No other model answers it.
func setup(t *testing.T, changes ...func(*server.Options)) *bench {
	t.Helper()
	n := servicetest.RunNATS(t, changes...)
	or := servicetest.RunOpenRouter(t, simulator.Config{})
	b := &bench{t: t, nats: n, openrouter: or, program: newProgram(t, map[string]any{
		"OPENROUTER_BASE_URL": or.URL, "OPENROUTER_API_KEYS": []string{servicetest.Key}, "HTTP_ADDR": "127.0.0.1:0", "NATS_URL": n.URL,
		"LOG_FORMAT": "json", "QUEUE_MAX_RETRIES": 0, "ACK_WAIT": "3s", "OPENROUTER_FALLBACK_MODELS": []string{},
	})}
	if len(changes) == 0 {
		b.Backend = servicetest.NewBackend(t, n)
		b.command(0, "provision")
	}
	return b
}

// work starts a worker and waits until it answers requests.
func (b *bench) work() (stop func() int) {
	b.t.Helper()
	out, stop := b.start("serve")
	await(b.t, out, "answering requests", "model")
	return stop
}

// command runs a command that must end with a code, and returns all it wrote.
func (b *bench) command(want int, args ...string) string {
	b.t.Helper()
	code, out, errs := b.invoke("", args...)
	if code != want {
		b.t.Fatalf("%v: exit code %d, want %d:\n%s%s", args, code, want, out, errs)
	}
	return out + errs
}

// expect runs a command that must end with code 0 and print all of some texts.
func (b *bench) expect(args []string, texts ...string) string {
	b.t.Helper()
	out := b.command(0, args...)
	contains(b.t, out, texts...)
	return out
}

func contains(t *testing.T, out string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(out, text) {
			t.Errorf("it does not print %q:\n%s", text, out)
		}
	}
}

// failure publishes a request, waits for its failed result and returns its id.
func (b *bench) failure(prompt string, more map[string]any) string {
	b.t.Helper()
	id := b.Ask(prompt, more)
	if got := b.Result(id); got.Result.Status != events.StatusError {
		b.t.Fatalf("it did not fail: %s", got.Body)
	}
	b.Idle()
	return id
}

// results waits for a request's results and returns their subjects' verdicts.
func (b *bench) results(id string, n int) []servicetest.Stored {
	b.t.Helper()
	return b.Collect(b.Names.ResponsesStream(), events.AnyResult(b.Names.ResponseQueue, id), n)
}

// count returns how many messages a stream holds.
func (b *bench) count(stream string) uint64 { return b.State(stream).Msgs }

// message reads the last message of a subject.
func (b *bench) message(stream, subject string) *jetstream.RawStreamMsg {
	b.t.Helper()
	s, err := b.JS.Stream(b.Context(), stream)
	if err != nil {
		b.t.Fatal(err)
	}
	m, err := s.GetLastMsgForSubject(b.Context(), subject)
	if err != nil {
		b.t.Fatalf("%s %s: %v", stream, subject, err)
	}
	return m
}

func TestOnCallHelp(t *testing.T) {
	for _, args := range [][]string{
		{"cancel"},
		{"deadletters"},
		{"deadletters", "list"},
		{"deadletters", "show"},
		{"deadletters", "replay"},
		{"deadletters", "purge"},
		{"status"},
		{"pause"},
		{"resume"},
	} {
		if code, out, errs := invoke(t, "", append(args, "--help")...); code != 0 || len(out) < 100 || errs != "" {
			t.Errorf("%v: exit code %d: %s%s", args, code, out, errs)
		}
	}
}

// Wrong arguments are reported before anything is done, and before NATS is needed.
func TestOnCallUsage(t *testing.T) {
	t.Parallel()
	p := newProgram(t, map[string]any{"NATS_URL": "nats://127.0.0.1:1"})
	id := servicetest.NewID()
	for want, args := range map[string][]string{
		`"42" is no request_id`:               {"cancel", id, "42"},
		"requires at least 1 arg":             {"cancel"},
		`--code "timeout": want one of`:       {"deadletters", "list", "--code", "timeout"},
		`--since "yesterday": want`:           {"deadletters", "list", "--since", "yesterday"},
		`--before "-2h": want`:                {"deadletters", "list", "--before", "-2h"},
		`--id "42": want a UUID`:              {"deadletters", "purge", "--id", "42"},
		"--limit -1: want 0 or more":          {"deadletters", "list", "--limit", "-1"},
		"nothing is selected":                 {"deadletters", "replay", "--limit", "5"},
		"nothing is selected: give sequences": {"deadletters", "purge"},
		"not both":                            {"deadletters", "purge", "--all", "17"},
		"--for 1ms: want a second":            {"pause", "--for", "1ms"},
		"--interval 0s: want more":            {"status", "--interval", "0s"},
		"--scan -1: want 0 or more":           {"status", "--scan", "-1"},
		`"42" is no request_id: want a UUID `: {"status", "42"},
	} {
		if code, out, errs := p.invoke("", args...); code != 2 || !strings.Contains(errs, want) || out != "" {
			t.Errorf("%v: exit code %d, want 2 and %q: %s%s", args, code, want, out, errs)
		}
	}
}

// Before any service has run, the commands say what is missing.
func TestOnCallWithoutStreams(t *testing.T) {
	t.Parallel()
	p := newProgram(t, map[string]any{"NATS_URL": servicetest.RunNATS(t).URL})
	id := servicetest.NewID()
	for _, args := range [][]string{
		{"cancel", id}, {"deadletters", "list"}, {"deadletters", "show", "1"}, {"deadletters", "replay", "--all"}, {"deadletters", "purge", id}, {"pause"}, {"resume"},
	} {
		if code, out, errs := p.invoke("", args...); code != 2 || !strings.Contains(errs, "gemini-client provision") {
			t.Errorf("%v: exit code %d: %s%s", args, code, out, errs)
		}
	}
	code, out, errs := p.invoke("", "status")
	if code != 0 || strings.Count(out, "not seen") < 3 || !strings.Contains(out, "GEMINI_DEADLETTERS") {
		t.Errorf("status: exit code %d: %s%s", code, out, errs)
	}
}

func TestCancelCommand(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one, two := servicetest.NewID(), servicetest.NewID()
	b.expect([]string{"cancel", strings.ToUpper(one), two}, one+"  cancelled", two+"  cancelled")
	for _, id := range []string{one, two} {
		b.message(b.Names.CancelsStream(), b.Names.Cancel(id))
	}
	b.work()
	b.Publish(servicetest.Body(one, "not wanted", nil), nil)
	if got := b.Result(one); *got.Result.ErrorCode != events.Cancelled || b.openrouter.Count() != 0 {
		t.Errorf("%d calls, result %s", b.openrouter.Count(), got.Body)
	}
}

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	b := setup(t)
	stop := b.work()
	b.expect([]string{"pause", "--for", "10m30s"}, "paused until", "10 minutes from now")
	b.expect([]string{"status"}, "requests paused until", "retries paused until")
	id := b.Ask("wait for it", nil)
	b.expect([]string{"status", id}, "queued", "0 waiting before it")
	if code := stop(); code != 0 { // a worker can be stopped while the intake is paused
		t.Errorf("serve: exit code %d", code)
	}
	b.work()
	if n := b.openrouter.Count(); n != 0 {
		t.Errorf("calls while paused: %d", n)
	}
	b.expect([]string{"resume"}, "open")
	began := time.Now()
	if got := b.Result(id); got.Result.Status != events.StatusSuccess || time.Since(began) > 20*time.Second {
		t.Errorf("%s after it was resumed: %s", time.Since(began), got.Body)
	}
	b.expect([]string{"status"}, "intake       open")
}
