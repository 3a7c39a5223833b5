package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// program is gemini-client with settings in a file of its own, so that tests with
// different settings can run in parallel.
type program struct {
	t        *testing.T
	file     string
	settings map[string]any
}

// nowhere is an OpenRouter that nobody runs: no test asks the real one.
const nowhere = "http://127.0.0.1:1/api/v1"

// newProgram returns a program with some settings, by the names of their
// variables.
func newProgram(t *testing.T, settings map[string]any) *program {
	t.Helper()
	p := &program{t: t, file: filepath.Join(t.TempDir(), "settings.yaml"), settings: map[string]any{"openrouter_base_url": nowhere}}
	for name, value := range settings {
		p.set(name, value)
	}
	return p
}

// set changes a setting of the commands that follow.
func (p *program) set(name string, value any) {
	p.t.Helper()
	p.settings[strings.ToLower(name)] = value
	text, err := json.Marshal(p.settings) // YAML includes JSON
	if err == nil {
		err = os.WriteFile(p.file, text, 0o600)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// invoke runs a command to its end.
func (p *program) invoke(stdin string, args ...string) (code int, stdout, stderr string) {
	p.t.Helper()
	return invoke(p.t, stdin, append([]string{"--config", p.file}, args...)...)
}

// start starts a command that runs until it is stopped, or the test ends. stop
// returns its exit code.
func (p *program) start(args ...string) (out *output, stop func() int) {
	ctx, cancel := context.WithCancel(context.Background())
	out = &output{}
	ended := make(chan int, 1)
	args = append([]string{"--config", p.file}, args...)
	go func() { ended <- run(ctx, args, streams{strings.NewReader(""), out, out}) }()
	stop = sync.OnceValue(func() int { cancel(); return <-ended })
	p.t.Cleanup(func() { stop() })
	return out, stop
}

// serving starts `serve --embedded` against a simulator, and returns it when it
// answers requests.
func serving(t *testing.T) (*program, *servicetest.OpenRouter, func() int) {
	t.Helper()
	or := servicetest.RunOpenRouter(t, simulator.Config{})
	p := newProgram(t, map[string]any{
		"OPENROUTER_BASE_URL": or.URL, "OPENROUTER_API_KEYS": []string{servicetest.Key}, "HTTP_ADDR": "127.0.0.1:0",
		"NATS_URL": "nats://127.0.0.1:0", "NATS_STORE_DIR": t.TempDir(), "LOG_FORMAT": "json",
	})
	out, stop := p.start("serve", "--embedded")
	p.set("NATS_URL", await(t, out, "NATS runs in this process", "url"))
	await(t, out, "answering requests", "model")
	return p, or, stop
}
