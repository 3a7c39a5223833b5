package ui

import (
	"fmt"
	"strings"
	"time"
)

// Size of a chart, in its own units; the page stretches it.
const (
	chartWidth  = 600
	chartHeight = 80
)

// chart is a queue over time, as two lines.
type chart struct {
	Name              string
	Waiting, InFlight string // points of a polyline
	Top               uint64 // its largest value
	From, To          time.Time
}

func newChart(queue string, samples []sample) chart {
	c := chart{Name: queue}
	if len(samples) == 0 {
		return c
	}
	c.From, c.To = samples[0].at, samples[len(samples)-1].at
	for _, s := range samples {
		q := s.queues[queue]
		c.Top = max(c.Top, q.Waiting, q.InFlight)
	}
	var waiting, inFlight strings.Builder
	for _, s := range samples {
		q := s.queues[queue]
		c.point(&waiting, s.at, q.Waiting)
		c.point(&inFlight, s.at, q.InFlight)
	}
	c.Waiting, c.InFlight = waiting.String(), inFlight.String()
	return c
}

func (c chart) point(b *strings.Builder, at time.Time, n uint64) {
	x, y := 0.0, 0.0
	if span := c.To.Sub(c.From); span > 0 {
		x = float64(at.Sub(c.From)) / float64(span)
	}
	if c.Top > 0 {
		y = float64(n) / float64(c.Top)
	}
	fmt.Fprintf(b, "%.1f,%.1f ", x*chartWidth, chartHeight*(1-y))
}
