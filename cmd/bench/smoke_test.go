//go:build integration

package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
)

// A whole benchmark, made small: every part is a process of its own.
func TestBenchmark(t *testing.T) {
	t.Parallel()
	dir, out := t.TempDir(), &strings.Builder{}
	o := options{
		worker: self(t), runs: 1, requests: 20, scenarios: []string{"backlog", "deltas"},
		dir: dir, json: filepath.Join(dir, "bench.json"), svg: filepath.Join(dir, "bench.svg"),
	}
	if err := measureAll(t.Context(), o, out, &progress{out: io.Discard}); err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(read(t, o.json), &r); err != nil {
		t.Fatal(err)
	}
	for i, want := range [][]string{
		{"floor", "service", "service, traced"},
		{"service"},
	} {
		if got := strings.Join(r.Results[i].contenders(), "; "); got != strings.Join(want, "; ") {
			t.Errorf("%s measured %s, want %s", r.Results[i].Scenario, got, want)
		}
	}
	for contender, m := range r.Results[0].Medians {
		for _, m2 := range []metric{rate, workerPeak, natsPeak} {
			if m[m2] <= 0 {
				t.Errorf("%s: %s is %v", contender, m2, m[m2])
			}
		}
	}
	if n := r.Results[1].Medians[serviceName][deltaCount]; n != 20*20 {
		t.Errorf("%v deltas of 20 answers with 20 chunks", n)
	}
	if n := len(r.Results[0].Verdicts); n != len(backlogScenario().targets) {
		t.Errorf("%d verdicts", n)
	}
	if text := out.String(); !strings.Contains(text, "worker CPU ms/request") || !strings.Contains(text, "at least 0.6 of floor's") {
		t.Errorf("the table lacks a metric or a target:\n%s", text)
	}
	for d := xml.NewDecoder(strings.NewReader(string(read(t, o.svg)))); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the plot is no XML: %v", err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, "gemini-bench-*")); err != nil || len(left) > 0 {
		t.Errorf("files are left: %v, %v", left, err)
	}
}

// What is measured must be right as well.
func TestCheck(t *testing.T) {
	t.Parallel()
	b := &bench{options: options{worker: self(t), dir: t.TempDir()}, progress: &progress{out: io.Discard}}
	s, err := b.build(t.Context(), contender{name: floorName}, setting{answer: answer{Chunks: 2}, slots: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if err := s.fill(t.Context(), 0, 3); err != nil {
		t.Fatal(err)
	}
	if _, err := s.start(t.Context(), contender{name: floorName}); err != nil {
		t.Fatal(err)
	}
	if err := s.answered(t.Context(), 3, func(int) error { return nil }); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ subject, want string }{
		{"", ""},
		{completedPrefix + requestID(2), "3 requests have 4 results, of 3 different ones"},
		{strings.Replace(completedPrefix, "completed", "failed", 1) + requestID(2), "a request failed"},
	} {
		if step.subject != "" {
			if _, err := s.js.PublishMsg(t.Context(), &nats.Msg{Subject: step.subject, Data: []byte("{}")}); err != nil {
				t.Fatal(err)
			}
		}
		err := s.check(t.Context(), 3)
		if (err == nil) != (step.want == "") || err != nil && !strings.Contains(err.Error(), step.want) {
			t.Errorf("after a result on %q: %v, want %q", step.subject, err, step.want)
		}
	}
	if err := s.check(t.Context(), 4); err == nil {
		t.Error("a request without a result was not noticed")
	}
}
