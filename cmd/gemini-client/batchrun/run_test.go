package batchrun_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"

	"gemini-client/cmd/gemini-client/batchrun"
	"gemini-client/events/client"
	"gemini-client/events/client/clienttest"
	"gemini-client/service/servicetest"
)

func TestMain(m *testing.M) { servicetest.VerifyTestMain(m) }

// bench is a service, and a file of results.
type bench struct {
	*client.Client
	t      *testing.T
	output string
}

func newBench(t *testing.T, options ...clienttest.Option) *bench {
	t.Helper()
	return onConnection(t, clienttest.Start(t, options...))
}

func onConnection(t *testing.T, nc *nats.Conn) *bench {
	t.Helper()
	c, err := client.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return &bench{Client: c, t: t, output: filepath.Join(t.TempDir(), "results.jsonl")}
}

func (b *bench) run(input string, o batchrun.Options) batchrun.Summary {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), servicetest.Patience)
	defer cancel()
	o.Input, o.Output, o.MaxInFlight = strings.NewReader(input), b.output, max(o.MaxInFlight, 20)
	sum, err := batchrun.Run(ctx, b.Client, o)
	if err != nil {
		b.t.Fatal(err)
	}
	return sum
}

// lines are the output's.
func (b *bench) lines() (lines []map[string]any) {
	b.t.Helper()
	data, err := os.ReadFile(b.output)
	if err != nil {
		b.t.Fatal(err)
	}
	for one := range bytes.Lines(data) {
		var l map[string]any
		if err := json.Unmarshal(one, &l); err != nil {
			b.t.Fatalf("%s: %v", one, err)
		}
		lines = append(lines, l)
	}
	return lines
}

func echo(prompt string) string { return "to " + prompt }

// Prompts and request events come back in order, if that is asked for; what is no request, or
// fails, is a failed result.
func TestRun(t *testing.T) {
	t.Parallel()
	b := newBench(t, clienttest.WithAnswer(echo))
	var failures bytes.Buffer
	sum := b.run(strings.Join([]string{
		`{"prompt":"one","metadata":{"n":1}}`, "", `{"prompt":"two [sim:400]"}`, `not json`, `{"prompt":"four","request_id":"4bf92f35-77b3-4da6-a3ce-929d0e0e4736","timestamp":"2025-12-08T10:11:12"}`,
	}, "\n"), batchrun.Options{Ordered: true, Failures: &failures})
	if sum.Completed != 2 || sum.Failed != 2 || sum.Cost == 0 {
		t.Errorf("summary: %+v", sum)
	}
	var got []string
	for _, l := range b.lines() {
		got = append(got, fmt.Sprint(l["status"], " ", l["content"], " ", l["error_code"], " ", l["metadata"]))
	}
	want := []string{"success to one <nil> map[n:1]", "error <nil> invalid_request <nil>", "error <nil> invalid_request <nil>", "success to four <nil> <nil>"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if id := b.lines()[3]["request_id"]; id != "4bf92f35-77b3-4da6-a3ce-929d0e0e4736" {
		t.Errorf("id: %v, want the line's own", id)
	}
	if text := failures.String(); strings.Count(text, "\n") != 2 || !strings.Contains(text, "line 4, request ") {
		t.Errorf("failures:\n%s", text)
	}
}

// OpenAI's batch lines come back as OpenAI's output lines.
func TestOpenAI(t *testing.T) {
	t.Parallel()
	b := newBench(t, clienttest.WithAnswer(echo))
	b.run(`{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"google/gemini-2.5-flash","messages":[{"role":"user","content":"one"}],"max_tokens":99,"stop":"x","n":1,"seed":7}}
{"custom_id":"b","method":"POST","url":"/v1/embeddings","body":{"model":"m","input":"one"}}
{"custom_id":"c","body":{"messages":[{"role":"user","content":"two [sim:400]"}]}}
`, batchrun.Options{Ordered: true})
	lines := b.lines()
	if len(lines) != 3 {
		t.Fatalf("lines: %v", lines)
	}
	response, _ := lines[0]["response"].(map[string]any)
	body, _ := response["body"].(map[string]any)
	if got := fmt.Sprint(lines[0]["custom_id"], response["status_code"], lines[0]["error"], body["object"], body["model"], body["choices"]); got != `a200 <nil>chat.completiongoogle/gemini-2.5-flash[map[finish_reason:stop index:0 message:map[content:to one role:assistant]]]` {
		t.Errorf("got %s", got)
	}
	for i, want := range map[int]string{1: "only /v1/chat/completions is answered", 2: "invalid_request"} {
		if text := fmt.Sprint(lines[i]["error"]); lines[i]["response"] != nil || !strings.Contains(text, want) {
			t.Errorf("line %d: %v, want %q", i, lines[i], want)
		}
	}
}

// A run that was killed goes on: what is in the output is skipped, half a line is written
// again, and what was answered meanwhile is not paid for again.
func TestResume(t *testing.T) {
	t.Parallel()
	const n = 50
	ctx, kill := context.WithCancel(t.Context())
	var calls atomic.Int64
	b := newBench(t, clienttest.WithAnswer(func(prompt string) string {
		if calls.Add(1) == n/2 {
			kill()
		}
		return echo(prompt)
	}))
	var input strings.Builder
	for i := range n {
		fmt.Fprintf(&input, "question %d\n", i)
	}
	first := batchrun.Options{Input: strings.NewReader(input.String()), Output: b.output, Text: true, MaxInFlight: 3}
	if sum, err := batchrun.Run(ctx, b.Client, first); !errors.Is(err, context.Canceled) || sum.Completed == 0 {
		t.Fatalf("it was not killed: %+v, %v", sum, err)
	}
	kept := len(b.lines())
	file, err := os.OpenFile(b.output, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = file.WriteString(`{"request_id":"4bf9`)
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	if sum := b.run(input.String(), batchrun.Options{Text: true}); sum.Skipped != kept || sum.Completed != n-kept || sum.Failed != 0 {
		t.Errorf("summary: %+v, want %d skipped", sum, kept)
	}
	ids := map[any]bool{}
	for _, l := range b.lines() {
		ids[l["request_id"]] = true
	}
	if len(ids) != n || len(b.lines()) != n || calls.Load() != n {
		t.Errorf("%d results of %d requests after %d calls, want %d", len(b.lines()), len(ids), calls.Load(), n)
	}
}

// No more is submitted than the money allows, but for what is under way; more money goes on.
func TestMaxCost(t *testing.T) {
	t.Parallel()
	b := newBench(t, clienttest.WithAnswer(echo))
	input := strings.Repeat("hello\n", 100)
	first := b.run(input, batchrun.Options{Text: true, MaxInFlight: 20, MaxCost: 0.000_01})
	if !first.OverCost || first.Completed == 0 || first.Completed > 50 {
		t.Errorf("summary: %+v", first)
	}
	if all := b.run(input, batchrun.Options{Text: true}); all.OverCost || all.Skipped != first.Completed || all.Completed+all.Skipped != 100 || all.Cost <= first.Cost {
		t.Errorf("with more money: %+v", all)
	}
}

// A file that is something else is not written to.
func TestForeignOutput(t *testing.T) {
	t.Parallel()
	b := onConnection(t, servicetest.RunNATS(t).Connect())
	if err := os.WriteFile(b.output, []byte("my diary\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := batchrun.Run(t.Context(), b.Client, batchrun.Options{Input: strings.NewReader("x"), Output: b.output})
	if err == nil || !strings.Contains(err.Error(), "no output of this command") {
		t.Errorf("got %v", err)
	}
	if data, _ := os.ReadFile(b.output); string(data) != "my diary\n" {
		t.Errorf("it was changed: %q", data)
	}
}

// A result is written before the next is: what was failed is counted in the next run.
func TestFailuresAreCountedAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const input = "no [sim:400]\nyes\n"
	if sum := b.run(input, batchrun.Options{Text: true}); sum.Failed != 1 || sum.Completed != 1 {
		t.Errorf("summary: %+v", sum)
	}
	if sum := b.run(input, batchrun.Options{Text: true}); sum.Failed != 1 || sum.Completed != 0 || sum.Skipped != 2 {
		t.Errorf("again: %+v", sum)
	}
	if got := b.lines(); len(got) != 2 {
		t.Errorf("lines: %v", got)
	}
}

// What failed is asked for again, as often as that is wanted, and each line has one result.
func TestRetryFailed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const input = "no [sim:400 times=2]\nyes\n" + `{"custom_id":"c","body":{"messages":[{"role":"user","content":"neither [sim:400 times=1]"}]}}` + "\n"
	if sum := b.run(input, batchrun.Options{Text: true}); sum.Failed != 2 || sum.Completed != 1 {
		t.Errorf("first: %+v", sum)
	}
	first := b.lines()
	if sum := b.run(input, batchrun.Options{Text: true, RetryFailed: true}); sum.Failed != 1 || sum.Completed != 1 || sum.Skipped != 1 {
		t.Errorf("again: %+v", sum)
	}
	if sum := b.run(input, batchrun.Options{Text: true, RetryFailed: true}); sum.Failed != 0 || sum.Completed != 1 || sum.Skipped != 2 {
		t.Errorf("once more: %+v", sum)
	}
	if sum := b.run(input, batchrun.Options{Text: true}); sum.Failed != 0 || sum.Completed != 0 || sum.Skipped != 3 {
		t.Errorf("at the end: %+v", sum)
	}
	ids := map[any]bool{}
	for _, l := range append(first, b.lines()...) {
		ids[l["request_id"]] = true
	}
	if last := b.lines(); len(last) != 3 || len(ids) != 5 { // three at first, of which one is kept, and two new ones
		t.Errorf("lines: %v\nids: %v", last, ids)
	}
	files, err := filepath.Glob(b.output + "*")
	if err != nil || len(files) != 1 {
		t.Errorf("files: %v, %v; want the output alone", files, err)
	}
}

// In order, what failed is asked for again into a new file, where nothing is paid for twice;
// between other results its new ones would come last.
func TestRetryFailedInOrder(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	b := newBench(t, clienttest.WithAnswer(func(prompt string) string { calls.Add(1); return echo(prompt) }))
	const input = "one\nno [sim:400 times=1]\nthree\n"
	b.run(input, batchrun.Options{Text: true, Ordered: true})
	before := fmt.Sprint(b.lines())
	_, err := batchrun.Run(t.Context(), b.Client, batchrun.Options{Input: strings.NewReader(input), Output: b.output, Text: true, Ordered: true, RetryFailed: true})
	if err == nil || !strings.Contains(err.Error(), "name a new file") || fmt.Sprint(b.lines()) != before {
		t.Errorf("got %v, and %v", err, b.lines())
	}
	b.output += ".new"
	if sum := b.run(input, batchrun.Options{Text: true, Ordered: true, RetryFailed: true}); sum.Completed != 3 || sum.Failed != 0 || calls.Load() != 3 {
		t.Errorf("summary: %+v after %d calls that were answered", sum, calls.Load())
	}
	var got []string
	for _, l := range b.lines() {
		got = append(got, fmt.Sprint(l["content"]))
	}
	if strings.Join(got, ", ") != "to one, to no, to three" {
		t.Errorf("lines: %v", got)
	}
}
