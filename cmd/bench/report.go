package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"text/tabwriter"
)

// A sample is one run.
type sample struct {
	Contender string             `json:"contender"`
	Values    map[metric]float64 `json:"values"`
	Slices    []slice            `json:"slices,omitempty"`
}

// A result is all runs of a scenario.
type result struct {
	Scenario string                        `json:"scenario"`
	Title    string                        `json:"title"`
	Samples  []sample                      `json:"samples"`
	Medians  map[string]map[metric]float64 `json:"medians"` // by contender
	Verdicts []verdict                     `json:"verdicts"`
}

// contenders are those of a result, in the order of its first run.
func (r result) contenders() (names []string) {
	for _, s := range r.Samples {
		if !slices.Contains(names, s.Contender) {
			names = append(names, s.Contender)
		}
	}
	return names
}

// median is the median of one metric of a contender; false if it was not measured.
func (r result) median(contender string, m metric) (float64, bool) {
	var values []float64
	for _, s := range r.Samples {
		if v, ok := s.Values[m]; ok && s.Contender == contender {
			values = append(values, v)
		}
	}
	return median(values), len(values) > 0
}

// metrics are all that were measured, the rate first.
func (r result) metrics() (all []metric) {
	for _, s := range r.Samples {
		for m := range s.Values {
			if !slices.Contains(all, m) {
				all = append(all, m)
			}
		}
	}
	slices.SortFunc(all, func(a, b metric) int {
		return cmp.Or(cmp.Compare(slices.Index(order(), a), slices.Index(order(), b)), cmp.Compare(a, b))
	})
	return all
}

// print writes the medians as a table: a line for each metric, a column for each
// contender, and behind it the ratio to the floor.
func (r result) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintf(out, "\n%s: %s\n", r.Scenario, r.Title)
	for _, c := range r.contenders() {
		_, _ = fmt.Fprint(w, "\t", c)
		if c != floorName {
			_, _ = fmt.Fprint(w, "\t/floor")
		}
	}
	_, _ = fmt.Fprint(w, "\t\n")
	for _, m := range r.metrics() {
		_, _ = fmt.Fprint(w, m)
		floor, beside := r.median(floorName, m)
		for _, c := range r.contenders() {
			v, ok := r.median(c, m)
			_, _ = fmt.Fprint(w, "\t", figure(v, ok))
			if c != floorName {
				_, _ = fmt.Fprint(w, "\t", figure(v/floor, ok && beside && floor != 0))
			}
		}
		_, _ = fmt.Fprint(w, "\t\n")
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, v := range r.Verdicts {
		_, _ = fmt.Fprintf(out, "  %s: %s\n", v.Metric, v)
	}
	return nil
}

// figure has three significant digits.
func figure(v float64, ok bool) string {
	switch {
	case !ok:
		return "-"
	case v >= 100 || v <= -100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	default:
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
}
