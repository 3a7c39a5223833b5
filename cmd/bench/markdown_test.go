package main

import (
	"fmt"
	"strings"
)

// markdown is the tables of README.md.
func (r report) markdown() string {
	if len(r.Results) == 0 {
		return "Not measured yet.\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s. Medians of %d alternating runs, %s.\n", r.Machine, r.Runs, r.Machine.Date.Format("2006-01-02"))
	for _, one := range r.Results {
		one.markdown(&b)
	}
	return b.String()
}

// markdown is one table: a row for each metric, a column for each contender, with
// the share of the floor's figure, and what is asked for.
func (r result) markdown(b *strings.Builder) {
	names := r.contenders()
	fmt.Fprintf(b, "\n**%s**: %s\n\n| | %s | asked for |\n|---%s|\n", r.Scenario, r.Title, strings.Join(names, " | "), strings.Repeat("|---", len(names)+1))
	for _, m := range r.metrics() {
		fmt.Fprintf(b, "| %s |", m)
		floor, beside := r.Medians[floorName][m]
		for _, c := range names {
			v, ok := r.Medians[c][m]
			cell := figure(v, ok)
			if c != floorName && ok && beside && floor != 0 {
				cell += fmt.Sprintf(" (%.2f)", v/floor)
			}
			fmt.Fprintf(b, " %s |", cell)
		}
		var asked []string
		for _, v := range r.Verdicts {
			if v.Metric == m {
				asked = append(asked, v.String())
			}
		}
		fmt.Fprintf(b, " %s |\n", strings.Join(asked, "; "))
	}
}
