package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestFilesAreGenerated(t *testing.T) {
	t.Parallel()
	var want []string
	for _, b := range boards() {
		want = append(want, b.file())
		text, err := b.json()
		if err != nil {
			t.Fatal(err)
		}
		file, err := os.ReadFile(filepath.Join("dashboards", b.file()))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(file, text) {
			t.Errorf("dashboards/%s is stale: run `make tidy`", b.file())
		}
	}
	have, err := filepath.Glob("dashboards/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range have {
		if !slices.Contains(want, filepath.Base(path)) {
			t.Errorf("%s is none of the dashboards", path)
		}
	}
}

// A reader at night knows neither the metrics nor their units.
func TestPanelsExplainThemselves(t *testing.T) {
	t.Parallel()
	for _, b := range boards() {
		seen := map[string]bool{}
		for _, r := range b.rows {
			for _, p := range r.panels {
				at := b.name + ": " + p.title
				if seen[p.title] {
					t.Errorf("%s: twice", at)
				}
				seen[p.title] = true
				if p.title == "" || strings.ContainsAny(p.title, "_{") {
					t.Errorf("%s: the title is not in words", at)
				}
				if !strings.HasSuffix(p.description, ".") {
					t.Errorf("%s: no sentence describes it: %q", at, p.description)
				}
				if p.unit == "" || len(p.queries) == 0 {
					t.Errorf("%s: unit %q, %d queries", at, p.unit, len(p.queries))
				}
				for _, q := range p.queries {
					if len(p.queries) > 1 && q.legend == "" {
						t.Errorf("%s: a series without a name: %s", at, q.expr)
					}
				}
			}
		}
	}
}
