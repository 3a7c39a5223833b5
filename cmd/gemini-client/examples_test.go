package main

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"gemini-client/events"
	"gemini-client/service/servicetest"
)

// exampleID is the request that examples name.
const exampleID = "0190f5a1-7c3e-7b1a-9a55-2f6e1c0d4b3a"

// Every line of every command's examples works as it stands in --help, against a server
// with the service's streams, a worker, an answered request, and 18 dead letters. A line
// that ends otherwise than with 0 says so: "# exit code 1".
func TestExamplesOfHelp(t *testing.T) {
	t.Parallel()
	newShell(t) // skips here, and loudly
	var all []*cobra.Command
	var collect func(*cobra.Command)
	collect = func(c *cobra.Command) {
		all = append(all, c)
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() {
				collect(sub)
			}
		}
	}
	collect(rootCommand(streams{}))
	for _, c := range all {
		t.Run(c.CommandPath(), func(t *testing.T) {
			t.Parallel()
			code, help, errs := invoke(t, "", append(strings.Fields(c.CommandPath())[1:], "--help")...)
			if code != 0 || errs != "" {
				t.Fatalf("--help: exit code %d: %s", code, errs)
			}
			_, examples, found := strings.Cut(help, "\nExamples:\n")
			examples, _, _ = strings.Cut(examples, "\n\n")
			if !found || !strings.Contains(examples, c.CommandPath()) && c.HasParent() {
				t.Fatalf("its --help has no example of it:\n%s", help)
			}
			e := newExamples(t)
			for line := range strings.Lines(examples) {
				e.run(t, strings.TrimSpace(line))
			}
		})
	}
}

// examples are what the lines of one command find.
type examples struct {
	*shell
	nats string
}

func newExamples(t *testing.T) *examples {
	t.Helper()
	b := setup(t)
	out, _ := b.start("serve")
	http := await(t, out, "serving /healthz, /readyz and /metrics", "address")
	await(t, out, "answering requests", "model")
	b.command(0, "tenants", "set", "acme", "--weight", "3")
	b.Publish(servicetest.Body(exampleID, "hello", nil), nil)
	b.Result(exampleID)
	for i := range 18 {
		id := fmt.Sprintf("4bf92f35-77b3-4da6-a3ce-%012d", i)
		b.put(b.Names.Deadletter(events.InsufficientCredits, id), nats.Header{}, servicetest.Body(id, "hello", nil))
	}
	sh := newShell(t, "HTTP_ADDR="+http, "OPENROUTER_BASE_URL="+b.openrouter.URL, "XDG_CONFIG_HOME=config")
	sh.write(t, "config/nats/context/prod.json", fmt.Sprintf(`{"url":%q}`, b.nats.URL))
	sh.write(t, "prompts.jsonl", `{"prompt":"one"}`+"\n"+`{"prompt":"two"}`+"\n")
	sh.write(t, "questions.txt", "Why?\nSince when?\n")
	sh.write(t, "ask.tmpl", "Describe {{.name}}.\n")
	sh.write(t, "products.csv", "name\ntea\n")
	sh.write(t, "bin/git", "#!/bin/sh\necho '+a line'\n") // there is no repository
	if _, err := exec.LookPath("jq"); err != nil {
		t.Logf("NOT TESTED: what jq makes of the output; there is none: %v", err)
		sh.write(t, "bin/jq", "#!/bin/sh\ncat\n")
	}
	return &examples{shell: sh, nats: b.nats.URL}
}

var exitCodeStated = regexp.MustCompile(`# exit code (\d+)$`)

func (e *examples) run(t *testing.T, line string) {
	t.Helper()
	want := 0
	if stated := exitCodeStated.FindStringSubmatch(line); stated != nil {
		want, _ = strconv.Atoi(stated[1])
	}
	var own []string
	if !strings.Contains(line, "--context") {
		own = append(own, "NATS_URL="+e.nats)
	}
	if strings.Contains(line, "=gemini.responses.a ") { // where callbacks are divided
		own = append(own, "CALLBACK_ALLOW=gemini.responses.a,gemini.responses.b")
	}
	if strings.Contains(line, "gemini-client") && strings.Contains(line, " doctor") { // the settings of the worker
		own = append(own, "OPENROUTER_API_KEYS="+servicetest.Key, "ACK_WAIT=3s")
	}
	until := ""
	switch {
	case strings.Contains(line, "--embedded"):
		own, until = []string{"NATS_URL=nats://127.0.0.1:0", "HTTP_ADDR=127.0.0.1:0"}, "answering requests"
	case strings.Contains(line, "gemini-client serve"):
		own, until = append(own, "HTTP_ADDR=127.0.0.1:0", "OPENROUTER_API_KEYS="+servicetest.Key), "answering requests"
	case strings.Contains(line, " ui"):
		line, until = line+" --listen 127.0.0.1:0", "pages for a browser" // its own port may be taken here
	case strings.Contains(line, "--watch"):
		until = "workers"
	}
	if until != "" {
		e.runUntil(t, line, until, own)
		return
	}
	code, out, errs := e.shell.run(t, "set -o pipefail; "+line, own...)
	if code != want {
		t.Errorf("%s\nexit code %d, want %d: %s%s", line, code, want, out, errs)
	}
}

// runUntil runs a line that ends with Ctrl-C, until it has printed something.
func (e *examples) runUntil(t *testing.T, line, until string, variables []string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := e.command(t, "exec 2>&1; "+line, variables...)
	read, write := io.Pipe()
	c.Stdout = write
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 4096)
		for interrupted := false; ; {
			n, err := read.Read(buffer)
			text.Write(buffer[:n])
			if err != nil || ctx.Err() != nil {
				return
			}
			if !interrupted && strings.Contains(text.String(), until) {
				interrupted = true
				_ = syscall.Kill(-c.Process.Pid, syscall.SIGINT) // as a terminal does
			}
		}
	}()
	err := c.Wait()
	_ = write.Close()
	<-done
	if err != nil || !strings.Contains(text.String(), until) {
		t.Errorf("%s\n%v, want 0 after %q: %s", line, err, until, text.String())
	}
}
