package main

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// batch run as people call it: what it writes, what it says, and its exit codes.
func TestBatchRun(t *testing.T) {
	t.Parallel()
	p, _, _ := serving(t)
	dir := t.TempDir()
	file := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	prompts, out := file("prompts.txt", "one\n\ntwo [sim:400 times=1]\n"), filepath.Join(dir, "out.jsonl")
	code, stdout, errs := p.invoke("", "batch", "run", "--prompt", prompts, "-o", out, "--failures", filepath.Join(dir, "failures"))
	if code != exitFailed || stdout != "" || !strings.Contains(errs, "1 completed, 1 failed, ") || strings.Contains(errs, " 0 tokens") {
		t.Errorf("first: code %d, %q, %q; want a failure to be told", code, stdout, errs)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "failures")); err != nil || !strings.Contains(string(text), "line 3, request ") {
		t.Errorf("failures: %q, %v", text, err)
	}
	code, _, errs = p.invoke("", "batch", "run", "--prompt", prompts, "-o", out, "--retry-failed", "--json")
	var last struct {
		State     string  `json:"state"`
		Total     int     `json:"total"`
		Completed int     `json:"completed"`
		Failed    int     `json:"failed"`
		Skipped   int     `json:"skipped"`
		Tokens    int     `json:"tokens"`
		Cost      float64 `json:"cost_usd"`
	}
	if err := json.Unmarshal([]byte(errs), &last); err != nil {
		t.Fatalf("%q: %v", errs, err)
	}
	if code != 0 || last.State != "ended" || last.Total != 2 || last.Completed != 1 || last.Failed != 0 || last.Skipped != 1 || last.Tokens == 0 || last.Cost == 0 {
		t.Errorf("again: code %d, %+v", code, last)
	}
	table, template := file("table.csv", "name\ntea\n"), file("ask.tmpl", "Describe {{.name}}.\n")
	if code, stdout, errs = p.invoke("", "batch", "run", "--template", template, table); code != 0 || strings.Count(stdout, "\n") != 1 || !strings.Contains(stdout, `"status":"success"`) {
		t.Errorf("template: code %d, %q, %q", code, stdout, errs)
	}
	if code, stdout, errs = p.invoke("from a pipe\n", "batch", "run", "--prompt", "-"); code != 0 || strings.Count(stdout, "\n") != 1 {
		t.Errorf("a pipe: code %d, %q, %q", code, stdout, errs)
	}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{filepath.Join(dir, "nothing")}, "no such file"},
		{[]string{prompts, "--csv"}, "--template"},
		{[]string{prompts, "--prompt", "--template", template}, "exclude each other"},
		{[]string{prompts, "--template", file("broken", "{{")}, "--template: "},
		{[]string{prompts, "--max-in-flight", "0"}, "--max-in-flight 0"},
		{[]string{prompts, "--prompt", "-o", prompts}, "no output of this command"},
	} {
		if code, _, errs = p.invoke("", append([]string{"batch", "run"}, tt.args...)...); code != exitInvalid || !strings.Contains(errs, tt.want) {
			t.Errorf("%v: code %d, %q; want %d and %q", tt.args, code, errs, exitInvalid, tt.want)
		}
	}
}

// neverEnds is a pipe to which somebody may still write.
func neverEnds(t *testing.T) (read, write *os.File) {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = read.Close(), write.Close() })
	return read, write
}

// The first Ctrl-C ends a batch that waits for standard input, and it says how to come back.
func TestInterruptedOnStandardInput(t *testing.T) {
	t.Parallel()
	p, _, _ := serving(t)
	sh := newShell(t)
	read, write := neverEnds(t)
	c := sh.command(t, "exec gemini-client --config "+p.file+" batch run --prompt -")
	c.Stdin = read
	var errs strings.Builder
	c.Stderr = &errs
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := write.WriteString("hello\n"); err != nil {
		t.Fatal(err)
	}
	first, err := bufio.NewReader(stdout).ReadString('\n') // it waits for the second line
	if err != nil || !strings.Contains(first, `"status":"success"`) {
		t.Fatalf("%q, %v", first, err)
	}
	if err := c.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	if code := c.ProcessState.ExitCode(); code != exitFailed || !strings.Contains(errs.String(), "1 completed") || !strings.Contains(errs.String(), "the same command again") {
		t.Errorf("exit code %d, %s: %s; want %d", code, c.ProcessState, errs.String(), exitFailed)
	}
}

// So it ends ask, and a batch that has read nothing yet.
func TestInterruptedBeforeALine(t *testing.T) {
	t.Parallel()
	p, _, _ := serving(t)
	for want, args := range map[string][]string{"read the prompt": {"ask"}, "the same command again": {"batch", "run", "--prompt", "-"}} {
		read, _ := neverEnds(t)
		ctx, interrupt := context.WithCancel(t.Context())
		interrupt()
		var out, errs output
		if code := run(ctx, append([]string{"--config", p.file}, args...), streams{read, &out, &errs}); code != exitFailed || !strings.Contains(errs.String(), want) {
			t.Errorf("%v: exit code %d: %s", args, code, errs.String())
		}
	}
}
