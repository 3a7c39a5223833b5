//go:build integration

package main

import (
	"errors"
	"io"
	"strings"
	"testing"
)

// small runs a scenario that is made small, and returns its only contender's figures.
func small(t *testing.T, s scenario, o options) (map[metric]float64, result) {
	t.Helper()
	o.worker, o.dir, o.runs = self(t), t.TempDir(), 1
	b := &bench{options: o, progress: &progress{out: io.Discard}}
	r, err := b.measure(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Samples) != 1 {
		t.Fatalf("%d samples", len(r.Samples))
	}
	return r.Samples[0].Values, r
}

// What others wait is measured while a backlog uses the slots, and the backlog is left.
func TestBeside(t *testing.T) {
	t.Parallel()
	for _, one := range []struct {
		scenario scenario
		options  options
		least    float64 // what nobody waits less than, in ms
	}{
		{floodScenario(), options{tenants: []int{3}, requests: 6000, seconds: 2}, 200},
		{lanesScenario(), options{requests: 2000, seconds: 2}, 100},
	} {
		v, r := small(t, one.scenario, one.options)
		for _, m := range []metric{aloneHalf, aloneTwentieth, aloneTail, besideHalf, besideTwentieth, besideTail} {
			if v[m] < one.least {
				t.Errorf("%s: %s is %v", r.Scenario, m, v[m])
			}
		}
		if v[backlogRate] <= 0 || v[peakCalls] < 80 || v[peakCalls] > 100 {
			t.Errorf("%s: %v requests a second of the backlog, %v calls at most", r.Scenario, v[backlogRate], v[peakCalls])
		}
		if got := v[besideTwentieth] / v[aloneTwentieth]; got != v[twentiethRatio] || v[besideTail]-v[aloneTail] != v[tailMore] {
			t.Errorf("%s: compared wrongly: %v", r.Scenario, v)
		}
		if !strings.Contains(r.Title, "2 seconds") {
			t.Errorf("the title does not say that it was made small: %s", r.Title)
		}
	}
}

// A backlog that ends too soon is no backlog.
func TestBacklogEnds(t *testing.T) {
	t.Parallel()
	b := &bench{options: options{worker: self(t), dir: t.TempDir(), runs: 1, tenants: []int{2}, requests: 10, seconds: 1}, progress: &progress{out: io.Discard}}
	if _, err := b.measure(t.Context(), floodScenario()); !errors.Is(err, errNoBacklog) {
		t.Errorf("a backlog of 10: %v", err)
	}
}

func TestLone(t *testing.T) {
	t.Parallel()
	v, _ := small(t, tenantsScenario(), options{tenants: []int{7}, requests: 10, seconds: 1})
	for _, m := range []metric{loneHalf, loneNinety, restMessages, idleMemory} {
		if v[m] <= 0 {
			t.Errorf("%s is %v", m, v[m])
		}
	}
	if v[loneNinety] < v[loneHalf] {
		t.Errorf("p90 %v is below p50 %v", v[loneNinety], v[loneHalf])
	}
}
