package telemetry

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table of README.md") //nolint:gochecknoglobals // flags of a test binary are

// README.md's table of metrics is made from the definitions: `make tidy` writes
// it anew.
func TestReadmeTables(t *testing.T) {
	t.Parallel()
	const path, begin, end = "README.md", "<!-- metrics -->\n", "<!-- /metrics -->"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	table, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no %s … %s", path, begin, end)
	}
	switch want := metricsTable(); {
	case table == want:
	case !*update:
		t.Errorf("the table of %s is stale: run `make tidy`\n got:\n%s\nwant:\n%s", path, table, want)
	default:
		if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// metricsTable is the table of all metrics in Markdown, with their names and
// labels as a scrape has them.
func metricsTable() string {
	var b strings.Builder
	b.WriteString("| metric | type | unit | labels | meaning |\n|---|---|---|---|---|\n")
	for _, d := range definitions() {
		labels := make([]string, len(d.labels))
		for i, key := range d.labels {
			labels[i] = "`" + scrapedName(string(key)) + "`"
		}
		slices.Sort(labels)
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", d.scraped(), d.kind, strings.Trim(d.unit, "{}"), strings.Join(labels, ", "), d.meaning)
	}
	return b.String()
}
