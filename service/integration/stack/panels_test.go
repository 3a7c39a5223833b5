//go:build integration

package stack

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gemini-client/service/servicetest"
)

// panelQuery is what one panel of a dashboard asks Prometheus.
type panelQuery struct {
	board, panel, unit, legend, expr string
	exemplars                        bool
}

// panelJSON is the part of a panel, as Grafana reads it, that the test checks.
type panelJSON struct {
	Type        string `json:"type"`
	Title       string `json:"title"`
	FieldConfig struct {
		Defaults struct {
			Unit string `json:"unit"`
		} `json:"defaults"`
	} `json:"fieldConfig"`
	Targets []struct {
		Expr         string `json:"expr"`
		LegendFormat string `json:"legendFormat"`
		Exemplar     bool   `json:"exemplar"`
	} `json:"targets"`
}

// panelQueries reads the dashboards of deploy/grafana. What a reader chooses in
// Grafana is chosen: every deployment, and a rate over a minute.
func (s *stage) panelQueries() []panelQuery {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "deploy/grafana/dashboards/*.json"))
	s.must("dashboards", err)
	chosen := strings.NewReplacer("$job", ".*", "$__rate_interval", "1m")
	var all []panelQuery
	for _, path := range files {
		text, err := os.ReadFile(path)
		s.must(path, err)
		var board struct {
			Panels []panelJSON `json:"panels"`
		}
		s.must(path, json.Unmarshal(text, &board))
		for _, p := range board.Panels {
			if p.Type != "row" && len(p.Targets) == 0 {
				s.t.Errorf("%s: %s asks nothing", path, p.Title)
			}
			for _, target := range p.Targets {
				all = append(all, panelQuery{filepath.Base(path), p.Title, p.FieldConfig.Defaults.Unit, target.LegendFormat, chosen.Replace(target.Expr), target.Exemplar})
			}
		}
	}
	if len(all) < 50 {
		s.t.Errorf("the dashboards have %d queries, which cannot be all", len(all))
	}
	return all
}

// Every query of every panel is understood by Prometheus and returns numbers,
// while a worker answers and fails in many ways. PANELS=<folder> also plots them.
func TestPanelsHaveData(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	o := s.observedStack(settings{
		"BUDGET": "100/day", "WORKER_MEMORY_BUDGET": "100000000", "KEYS_MAX_PER_MINUTE": "100000", "QUEUE_RETRY_DELAYS": "1", "QUEUE_MAX_RETRIES": "1",
		"OTEL_EXPORTER_OTLP_ENDPOINT": "http://nowhere:4318", // no collector: spans are lost, and exemplars are there
	})
	queries, begun := s.panelQueries(), time.Now()
	s.until("every panel has data", func() (string, bool) {
		o.manyWays()
		var empty []string
		for _, q := range queries {
			if why := o.prometheus.lacks(q); why != "" {
				empty = append(empty, fmt.Sprintf("%s: %s: %s (%s)", q.board, q.panel, q.expr, why))
			}
		}
		return "without data:\n" + strings.Join(empty, "\n"), len(empty) == 0
	})
	if folder := os.Getenv("PANELS"); folder != "" {
		s.until("there is something to plot", func() (string, bool) {
			o.manyWays()
			return "", time.Since(begun) > plotSpan
		})
		s.plotPanels(o.prometheus, queries, folder)
	}
}

// manyWays asks for what a worker meets: answers, retries, failures, a model that is
// gone, and what is no request.
func (o observedStack) manyWays() {
	o.nats.stage.t.Helper()
	for range 5 {
		o.backend.Ask("Why is the sky blue?", nil)
	}
	o.backend.Ask("Why does it fail once? "+servicetest.NewID()+" [sim:503 times=1]", nil)
	o.backend.Ask("Why does it fail? "+servicetest.NewID()+" [sim:503 times=6]", nil)
	o.backend.Ask("Why is it refused? [sim:content_filter]", nil)
	o.backend.Ask("Where is it? [sim:404_gone model=google/gemini-2.0-flash-001]", map[string]any{"model": "google/gemini-2.0-flash-001"})
	o.backend.Publish([]byte("no request"), nil)
}

// lacks says what is missing of a query's data, "" if nothing is.
func (p *prometheus) lacks(q panelQuery) string {
	values, err := p.query(q.expr)
	if err != nil {
		return err.Error()
	}
	if len(values) == 0 {
		return "no series"
	}
	for _, v := range values {
		if math.IsNaN(float64(v.Value)) {
			return "not a number: " + v.Metric.String()
		}
	}
	if !q.exemplars {
		return ""
	}
	return p.lacksExemplars(q)
}

// lacksExemplars says whether dots in the panel would lead to a trace.
func (p *prometheus) lacksExemplars(q panelQuery) string {
	var all []struct {
		Exemplars []struct{ Labels map[string]string }
	}
	now := time.Now()
	err := p.ask("query_exemplars", url.Values{"query": {q.expr}, "start": {instant(now.Add(-time.Hour))}, "end": {instant(now)}}, &all)
	if err != nil {
		return err.Error()
	}
	for _, series := range all {
		for _, e := range series.Exemplars {
			if len(e.Labels["trace_id"]) == 32 {
				return ""
			}
		}
	}
	return fmt.Sprintf("no exemplar with a trace among those of %d series", len(all))
}

// instant is a time as Prometheus's API takes it.
func instant(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// plotPanels writes a picture of each dashboard.
func (s *stage) plotPanels(p *prometheus, queries []panelQuery, folder string) {
	s.t.Helper()
	boards := map[string][]panelQuery{}
	for _, q := range queries {
		boards[q.board] = append(boards[q.board], q)
	}
	for _, name := range slices.Sorted(maps.Keys(boards)) {
		picture, err := p.plot(boards[name])
		s.must("plot "+name, err)
		path := filepath.Join(folder, strings.TrimSuffix(name, ".json")+".svg")
		s.must(path, os.WriteFile(path, picture, 0o644))
	}
}
