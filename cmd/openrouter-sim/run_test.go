package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gemini-client/service/openrouter/simulator"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// program is run() with a line reader on its output.
type program struct {
	t      *testing.T
	base   string // of the API
	lines  *bufio.Scanner
	cancel context.CancelFunc
	logs   *buffer
	code   chan int
}

// buffer is a writer that several goroutines may use.
type buffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *buffer) Write(data []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(data)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// begin starts the program on a free port and reads where it listens.
func begin(t *testing.T, args ...string) *program {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	reader, writer := io.Pipe()
	p := &program{t: t, lines: bufio.NewScanner(reader), cancel: cancel, logs: new(buffer), code: make(chan int, 1)}
	go func() {
		p.code <- run(ctx, append([]string{"--addr", "127.0.0.1:0"}, args...), writer, p.logs)
		_ = writer.Close()
	}()
	if first := p.line(); first != "openrouter-sim: this is a SIMULATOR of OpenRouter, no model answers here" {
		t.Errorf("first line %q", first)
	}
	listening := p.line()
	p.base = listening[strings.Index(listening, "http://"):]
	if use := p.line(); !strings.Contains(use, "OPENROUTER_BASE_URL="+p.base+" ") {
		t.Errorf("third line %q, want how to use %s", use, p.base)
	}
	p.line()
	return p
}

func (p *program) line() string {
	p.t.Helper()
	if !p.lines.Scan() {
		p.t.Fatalf("the output ended: %v; log %s", p.lines.Err(), p.logs)
	}
	return p.lines.Text()
}

// end stops the program as a signal does and returns its exit code and last line.
func (p *program) end() (code int, last string) {
	p.t.Helper()
	p.cancel()
	last = p.line()
	code = <-p.code
	http.DefaultClient.CloseIdleConnections()
	return code, last
}

// ask sends one chat call.
func (p *program) ask(key, prompt string) *http.Response {
	p.t.Helper()
	body := `{"stream":true,"messages":[{"role":"user","content":"` + prompt + `"}]}`
	request, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.base+"/chat/completions", strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+key)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	return response
}

func TestItServesAndLogsAndStops(t *testing.T) {
	p := begin(t, "--latency", "1ms", "--token-interval", "1ms", "--key", "sk-or-v1-one-1111", "--key", "sk-or-v1-two-2222")
	for key, want := range map[string]int{"sk-or-v1-one-1111": 200, "sk-or-v1-two-2222": 200, "sk-or-v1-three-3333": 401} {
		response := p.ask(key, "a secret question")
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if response.StatusCode != want || (want == 200) != strings.Contains(string(body), "data: [DONE]") {
			t.Errorf("%s: got %d %s, want %d", key, response.StatusCode, body, want)
		}
	}
	code, last := p.end()
	if code != exitOK || !strings.HasPrefix(last, "openrouter-sim: stopped after 3 calls") {
		t.Errorf("exit code %d, last line %q", code, last)
	}
	log := p.logs.String()
	for _, want := range []string{"outcome=completed", "outcome=unauthorized", "status=401", "key=...1111", "key=...3333", "model=google/gemini-2.5-flash"} {
		if !strings.Contains(log, want) {
			t.Errorf("no %s in the log:\n%s", want, log)
		}
	}
	if n := strings.Count(log, "\n"); n != 3 {
		t.Errorf("%d lines for 3 calls:\n%s", n, log)
	}
	for _, secret := range []string{"secret question", "sk-or-v1"} {
		if strings.Contains(log, secret) {
			t.Errorf("%q in the log:\n%s", secret, log)
		}
	}
}

func TestAHangingCallDoesNotKeepItAlive(t *testing.T) {
	p := begin(t)
	response := p.ask("sk-or-v1-simulated", "[sim:stall after=1]")
	defer response.Body.Close()
	if code, last := p.end(); code != exitOK || !strings.Contains(last, "after 1 calls") {
		t.Errorf("exit code %d, last line %q", code, last)
	}
	if _, err := io.ReadAll(response.Body); err == nil {
		t.Error("the hanging call had a proper end")
	}
	if log := p.logs.String(); !strings.Contains(log, `outcome="simulator closed" fault=stall`) {
		t.Errorf("log:\n%s", log)
	}
}

func TestNothingOfAShortKeyIsShown(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{"": "...", "secret": "...", "sk-or-v1-abcd": "...abcd"} {
		if got := lastFour(key); got != want {
			t.Errorf("lastFour(%q): got %q, want %q", key, got, want)
		}
	}
}

func TestARetiredModelIsGone(t *testing.T) {
	p := begin(t, "--retired", "google/gemini-2.5-flash")
	response := p.ask("sk-or-v1-simulated", "Why?")
	defer response.Body.Close()
	if response.StatusCode != http.StatusNotFound {
		t.Errorf("got %d, want 404", response.StatusCode)
	}
	p.end()
}

func TestFlagsReachTheSimulator(t *testing.T) {
	t.Parallel()
	var discard buffer
	o, err := parse([]string{
		"--addr", ":1", "--latency", "2s", "--token-interval", "30ms", "--error-rate", "0.1", "--rate-limit", "9",
		"--storm", "60s/10s", "--key", "a", "--key", "b", "--seed", "7",
		"--batch-step", "5s", "--batch-names", "index", "--batch-no-item-cost", "--batch-all-keys",
		"--expires", "google/gemini-2.5-flash=2026-12-01",
	}, &discard, &discard)
	if err != nil {
		t.Fatal(err)
	}
	c := o.config
	if o.addr != ":1" || c.Latency.String() != "2s" || c.TokenInterval.String() != "30ms" || c.ErrorRate != 0.1 ||
		c.RateLimit != 9 || c.Storm.Every.String() != "1m0s" || c.Storm.For.String() != "10s" ||
		strings.Join(c.Keys, ",") != "a,b" || c.Seed != 7 || c.History == 0 || c.Expirations["google/gemini-2.5-flash"] != "2026-12-01" {
		t.Errorf("options %+v", o)
	}
	want := simulator.BatchConfig{Step: 5 * time.Second, Names: simulator.NamesIndex, NoItemCost: true, AllKeys: true}
	if c.Batch != want {
		t.Errorf("batches %+v, want %+v", c.Batch, want)
	}
}

func TestProblemsOnTheCommandLine(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"serve":                       `unknown argument "serve"`,
		"--colour red":                "colour",
		"--storm 60s":                 "such as 60s/10s",
		"--storm x/1s":                "such as 60s/10s",
		"--storm 10s/60s":             "at most the period",
		"--error-rate 1.5":            "--error-rate must be from 0 to 1",
		"--error-rate NaN":            "--error-rate must be from 0 to 1",
		"--latency -1s":               "cannot be negative",
		"--rate-limit -1 --latency x": "latency",
		"--rate-limit -1":             "--rate-limit cannot be negative",
		"--batch-step -1s":            "--batch-step cannot be negative",
		"--batch-names all":           "custom_id, index or nothing",
		"--expires x/y=tomorrow":      "model=YYYY-MM-DD",
	} {
		var stdout, stderr buffer
		if code := run(t.Context(), strings.Fields(args), &stdout, &stderr); code != exitUsage {
			t.Errorf("%s: exit code %d, want %d", args, code, exitUsage)
		}
		if !strings.Contains(stderr.String(), want) || stdout.String() != "" {
			t.Errorf("%s: got %q and %q, want %q on stderr", args, stdout.String(), stderr.String(), want)
		}
	}
	var stdout, stderr buffer
	if code := run(t.Context(), []string{"--addr", "127.0.0.1:no"}, &stdout, &stderr); code != exitFailed || stdout.String() != "" {
		t.Errorf("a wrong address: exit code %d, output %q", code, stdout.String())
	}
}

func TestHelpListsEveryFault(t *testing.T) {
	t.Parallel()
	for _, argument := range []string{"--help", "faults"} {
		var stdout, stderr buffer
		if code := run(t.Context(), []string{argument}, &stdout, &stderr); code != exitOK || stderr.String() != "" {
			t.Errorf("%s: exit code %d, stderr %q", argument, code, stderr.String())
		}
		for _, fault := range simulator.Faults() {
			if !strings.Contains(stdout.String(), "\n  "+fault.Name+" ") {
				t.Errorf("%s: fault %s is missing", argument, fault.Name)
			}
		}
		if !strings.Contains(stdout.String(), "times=") || strings.Contains(stdout.String(), "-storm") != (argument == "--help") {
			t.Errorf("%s: got\n%s", argument, stdout.String())
		}
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	for _, argument := range []string{"version", "--version"} {
		var stdout, stderr buffer
		if code := run(t.Context(), []string{argument}, &stdout, &stderr); code != exitOK || stdout.String() != "openrouter-sim "+version()+"\n" || version() == "" {
			t.Errorf("%s: exit code %d: %s%s", argument, code, stdout.String(), stderr.String())
		}
	}
}
