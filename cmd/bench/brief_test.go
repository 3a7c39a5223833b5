package main

import (
	"fmt"
	"strings"
)

// A highlight is a line of the table on the front page.
type highlight struct {
	scenario  string
	metric    metric
	contender string
	text      string
}

func highlights() []highlight {
	return []highlight{
		{"backlog", rate, serviceName, "20,000 wait, answered at once: requests a second"},
		{"backlog", rate, tracedName, "the same, traced and exported"},
		{"paced", half, serviceName, "500 a second, calls of 20 ms: p50, in ms"},
		{"paced", tail, serviceName, "the same: p99, in ms"},
		{"inflight", rate, serviceName, "10,000 calls of 4 s in flight: requests a second"},
		{"inflight", workerPeak, serviceName, "the same: memory at most, in MB"},
		{"always", rate, serviceName, "`sync_interval: always`: requests a second"},
		{"cluster", rate, serviceName, "three NATS servers, three copies: requests a second"},
		{"deltas", deltaHalf, serviceName, "a piece of an answer to who reads along: p50, in ms"},
		{"idle", idleMemory, serviceName, "idle memory, in MB"},
	}
}

// brief is the table of the front page: what was measured, beside the floor.
func (r report) brief() string {
	if len(r.Results) == 0 {
		return "Not measured yet.\n"
	}
	var b strings.Builder
	b.WriteString("| | a bare loop | the service |\n|---|---|---|\n")
	for _, h := range highlights() {
		for _, one := range r.Results {
			v, ok := one.median(h.contender, h.metric)
			if one.Scenario != h.scenario || !ok {
				continue
			}
			floor, beside := one.median(floorName, h.metric)
			fmt.Fprintf(&b, "| %s | %s | %s |\n", h.text, figure(floor, beside), figure(v, true))
		}
	}
	fmt.Fprintf(&b, "\nOn %d cores (%s), %s, medians of %d alternating runs.\n", r.Machine.Cores, r.Machine.CPU, r.Machine.NATS, r.Runs)
	return b.String()
}
