//go:build integration

package stack

import (
	"bytes"
	"fmt"
	"html"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// plotSpan is how long ago a plot begins.
const plotSpan = 90 * time.Second

// Sizes of a picture, in pixels.
const (
	plotWidth, plotHeight = 460, 150
	plotColumns           = 3
	plotMargin            = 60 // below a plot, for its legend
)

// plot draws the panels of a dashboard from what Prometheus answers, for people
// without a Grafana: the last minutes, each panel from 0 to its largest value.
func (p *prometheus) plot(queries []panelQuery) ([]byte, error) {
	var order []string
	panels := map[string][]panelQuery{}
	for _, q := range queries {
		if panels[q.panel] == nil {
			order = append(order, q.panel)
		}
		panels[q.panel] = append(panels[q.panel], q)
	}
	rows := (len(order) + plotColumns - 1) / plotColumns
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="11"><rect width="100%%" height="100%%" fill="white"/>`+"\n",
		plotColumns*(plotWidth+20)+20, rows*(plotHeight+plotMargin+30)+20)
	for n, title := range order {
		fmt.Fprintf(&b, `<g transform="translate(%d,%d)">`, 20+n%plotColumns*(plotWidth+20), 30+n/plotColumns*(plotHeight+plotMargin+30))
		if err := p.plotPanel(&b, title, panels[title]); err != nil {
			return nil, err
		}
		b.WriteString("</g>\n")
	}
	b.WriteString("</svg>\n")
	return b.Bytes(), nil
}

// plotted is one line of a panel.
type plotted struct {
	name   string
	values []model.SamplePair
}

func (p *prometheus) plotPanel(b *bytes.Buffer, title string, queries []panelQuery) error {
	end := time.Now()
	start := end.Add(-plotSpan)
	var lines []plotted
	top := 0.0
	for _, q := range queries {
		var matrix model.Matrix
		err := p.ask("query_range", url.Values{"query": {q.expr}, "start": {instant(start)}, "end": {instant(end)}, "step": {"2s"}}, &struct{ Result any }{&matrix})
		if err != nil {
			return err
		}
		for _, series := range matrix {
			lines = append(lines, plotted{legend(q.legend, series.Metric), series.Values})
			for _, v := range series.Values {
				if v.Value > model.SampleValue(top) { // not of NaN
					top = float64(v.Value)
				}
			}
		}
	}
	fmt.Fprintf(b, `<text y="-8" font-weight="bold">%s</text><text x="%d" y="-8" text-anchor="end">%.4g %s</text><rect width="%d" height="%d" fill="none" stroke="#ccc"/>`,
		html.EscapeString(title), plotWidth, top, queries[0].unit, plotWidth, plotHeight)
	for n, line := range lines {
		color := fmt.Sprintf("hsl(%d,70%%,40%%)", n*67%360)
		var points strings.Builder
		for _, v := range line.values {
			x := v.Timestamp.Time().Sub(start).Seconds() / plotSpan.Seconds() * plotWidth
			fmt.Fprintf(&points, "%.1f,%.1f ", x, plotHeight*(1-float64(v.Value)/max(top, 1e-12)))
		}
		fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="1.5"/>`, points.String(), color)
		if n < 8 { // as many as there is room for
			fmt.Fprintf(b, `<text x="%d" y="%d" fill="%s">%s</text>`, n%2*plotWidth/2, plotHeight+14+n/2*12, color, html.EscapeString(line.name))
		}
	}
	return nil
}

// legend is the name of a series, as Grafana makes it of a legend's format.
func legend(format string, labels model.Metric) string {
	for name, value := range labels {
		format = strings.ReplaceAll(format, "{{"+string(name)+"}}", string(value))
	}
	return format
}
