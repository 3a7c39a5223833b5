package main

import (
	"fmt"
	"html"
	"strings"
)

// Measures of the plot, in pixels.
const (
	plotWidth  = 760
	labelWidth = 300
	barWidth   = 340 // of the longest bar
	barHeight  = 16
	barGap     = 5
	groupGap   = 26
)

// A bar is one contender's rate.
type bar struct {
	label string
	rate  float64
	floor float64 // its share of the floor's rate; 0: there is no floor
	shade string
}

// plot draws the rates of the scenarios that have one, each to its own scale. It
// is legible on a light ground and on a dark one.
func plot(results []result, where machine) string {
	var body strings.Builder
	y := 30
	for _, r := range results {
		bars := r.bars()
		if len(bars) == 0 {
			continue
		}
		y += groupGap
		text(&body, 0, y-8, "t", r.Scenario+": "+r.Title)
		longest := 0.0
		for _, b := range bars {
			longest = max(longest, b.rate)
		}
		for _, b := range bars {
			width := int(barWidth * b.rate / longest)
			fmt.Fprintf(&body, `<rect x="%d" y="%d" width="%d" height="%d" rx="2" fill="%s"/>`+"\n", labelWidth, y, max(width, 1), barHeight, b.shade)
			text(&body, 0, y+barHeight-4, "l", b.label)
			figures := figure(b.rate, true) + "/s"
			if b.floor > 0 {
				figures += fmt.Sprintf("  %.2f", b.floor)
			}
			text(&body, labelWidth+width+6, y+barHeight-4, "l", figures)
			y += barHeight + barGap
		}
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="requests a second">
<style>text{font:12px system-ui,sans-serif;fill:#24292f}.t{font-weight:600}.s{font-size:11px}@media(prefers-color-scheme:dark){text{fill:#d0d7de}}</style>
<text x="0" y="16" class="t">Requests a second, and their share of the floor's</text>
<text x="0" y="32" class="s">%s</text>
%s</svg>
`, plotWidth, y+10, plotWidth, y+10, html.EscapeString(where.String()), body.String())
}

// bars are a result's rates, in the order of its contenders.
func (r result) bars() (all []bar) {
	base, beside := r.median(floorName, rate)
	for _, c := range r.contenders() {
		v, ok := r.median(c, rate)
		if !ok || v <= 0 {
			continue
		}
		b := bar{label: c, rate: v, shade: "#0969da"}
		switch {
		case c == floorName:
			b.shade = "#8c959f"
		case beside && base > 0:
			b.floor = v / base
		}
		if strings.HasSuffix(c, tracedSuffix) {
			b.shade = "#8250df"
		}
		all = append(all, b)
	}
	return all
}

func text(to *strings.Builder, x, y int, class, s string) {
	fmt.Fprintf(to, `<text x="%d" y="%d" class="%s">%s</text>`+"\n", x, y, class, html.EscapeString(s))
}
