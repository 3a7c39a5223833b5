package main

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
)

// spendColumns name the numbers of a sum for people, and in CSV.
var spendColumns = []struct{ name, csv string }{ //nolint:gochecknoglobals // a table, never changed
	{"REQUESTS", "requests"},
	{"FAILED", "failures"},
	{"PROMPT", "prompt_tokens"},
	{"CACHED", "cached_tokens"},
	{"COMPLETION", "completion_tokens"},
	{"COST", "cost_usd"},
	{"UNKNOWN COST", "unknown_cost"},
}

// cells are the numbers in the order of spendColumns.
func (s *sums) cells() []string {
	n := func(n int64) string { return strconv.FormatInt(n, 10) }
	return []string{n(s.Requests), n(s.Failures), n(s.PromptTokens), n(s.CachedTokens), n(s.CompletionTokens), amount(&s.Cost), n(s.UnknownCost)}
}

// shownName is a group's name for people: a key as status shows it.
func (s *spending) shownName(name string) string {
	if s.By == "key" && name != groupUnknown && name != groupOthers {
		return "…" + name
	}
	return name
}

// table formats the sums for people.
func (s *spending) table() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "since %s, until %s\n", clock(s.Since), clock(s.Until))
	w := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	line := func(name string, cells []string) {
		if s.By != "" {
			cells = append([]string{name}, cells...)
		}
		_, _ = fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	var heading []string
	for _, c := range spendColumns {
		heading = append(heading, c.name)
	}
	line(strings.ToUpper(s.By), heading)
	for _, g := range s.Groups {
		line(s.shownName(g.Name), g.cells())
	}
	line("(all)", s.Total.cells())
	_ = w.Flush() // to memory
	return b.Bytes()
}

// csv has a line for each group, or one for all results where there are no groups.
func (s *spending) csv() ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	var heading []string
	if s.By != "" {
		heading = []string{s.By}
	}
	for _, c := range spendColumns {
		heading = append(heading, c.csv)
	}
	lines := [][]string{heading}
	for _, g := range s.Groups {
		lines = append(lines, append([]string{noFormula(s.shownName(g.Name))}, g.cells()...))
	}
	if s.By == "" {
		lines = append(lines, s.Total.cells())
	}
	err := w.WriteAll(lines)
	return b.Bytes(), err
}

// noFormula keeps a spreadsheet from computing what came from outside: a text that would
// begin a formula gets an apostrophe before it.
func noFormula(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return "'" + text
	}
	return text
}

// notes say what the sums do not.
func (s *spending) notes() []string {
	var list []string
	if n := s.Total.UnknownCost; n > 0 {
		list = append(list, fmt.Sprintf("unknown cost: %d results of calls of which OpenRouter told no cost; they count as 0", n))
	}
	if at := s.OldestKept; at != nil {
		list = append(list, fmt.Sprintf("older results are gone: they are kept for RESULTS_MAX_AGE, and these sums begin at %s", clock(*at)))
	}
	if s.Unreadable > 0 {
		list = append(list, fmt.Sprintf("unreadable: %d messages in the stream are no results, and are not counted", s.Unreadable))
	}
	return list
}
