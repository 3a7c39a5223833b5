package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
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
