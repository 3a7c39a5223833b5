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

// README.md's tables are made from the definitions of the metrics and from the
// rules of the alerts: `make tidy` writes them anew.
func TestReadmeTables(t *testing.T) {
	t.Parallel()
	const path = "README.md"
	text := readFile(t, path)
	want := replaceTable(t, text, "metrics", metricsTable())
	want = replaceTable(t, want, "alerts", alertsTable(t))
	switch {
	case text == want:
	case !*update:
		t.Errorf("a table of %s is stale: run `make tidy`\n got:\n%s\nwant:\n%s", path, text, want)
	default:
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func readFile(tb testing.TB, path string) string {
	tb.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

// replaceTable returns a text with another table between the comments of its name.
func replaceTable(tb testing.TB, text, name, table string) string {
	tb.Helper()
	begin, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->"
	before, rest, ok := strings.Cut(text, begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		tb.Fatalf("no %s … %s", begin, end)
	}
	return before + begin + table + end + after
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
