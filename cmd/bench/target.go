package main

import (
	"fmt"
	"strings"
)

// A target is what a scenario has to show: a metric of a contender, or how it
// compares with the same metric of another.
type target struct {
	contender string
	metric    metric
	than      string     // the other; "": the metric itself is meant
	by        comparison // with the other
	limit     float64
	least     bool // the limit is the least that counts; else the most
}

// comparison is how two contenders are compared.
type comparison int

const (
	ratio comparison = iota
	difference
)

// A verdict is what became of a target.
type verdict struct {
	Contender string  `json:"contender"`
	Metric    metric  `json:"metric"`
	Asked     string  `json:"asked"`
	Value     float64 `json:"value"`
	Met       bool    `json:"met"`
}

// judge compares the medians of a result with a target. A second build of the
// service has the same targets as the first.
func (r result) judge(targets []target) (all []verdict) {
	for _, t := range targets {
		for _, build := range []string{"", " B"} {
			contender := strings.Replace(t.contender, serviceName, serviceName+build, 1)
			if build != "" && contender == t.contender {
				continue
			}
			if v, ok := t.value(r, contender); ok {
				all = append(all, verdict{contender, t.metric, t.asked(), v, t.met(v)})
			}
		}
	}
	return all
}

func (t target) value(r result, contender string) (float64, bool) {
	v, ok := r.median(contender, t.metric)
	if !ok || t.than == "" {
		return v, ok
	}
	other, ok := r.median(t.than, t.metric)
	if t.by == difference {
		return v - other, ok
	}
	return v / other, ok && other != 0
}

func (t target) met(v float64) bool {
	if t.least {
		return v >= t.limit
	}
	return v <= t.limit
}

// asked says what is asked for.
func (t target) asked() string {
	how := "at most"
	if t.least {
		how = "at least"
	}
	asked := fmt.Sprintf("%s %g", how, t.limit)
	switch {
	case t.than == "":
		return asked
	case t.by == difference:
		return asked + " above " + t.than + "'s"
	default:
		return asked + " of " + t.than + "'s"
	}
}

// String is a verdict in a few words.
func (v verdict) String() string {
	word := "missed"
	if v.Met {
		word = "met"
	}
	return fmt.Sprintf("%s: %s: %s (%s)", v.Contender, v.Asked, word, figure(v.Value, true))
}
