package main

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"

	"gemini-client/events"
	"gemini-client/telemetry"
)

const readmePath = "../../README.md"

var update = flag.Bool("update", false, "write README's tables") //nolint:gochecknoglobals // flags of a test binary are

// README's tables are made from the code: `make tidy` writes them anew.
func TestReadmeTable(t *testing.T) {
	text := readReadme(t)
	_, configuration, _ := invoke(t, "", "config", "--markdown")
	for name, want := range map[string]string{"configuration": configuration, "metrics": telemetry.MetricsTable()} {
		begin, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->"
		before, rest, ok := strings.Cut(text, begin)
		table, after, ok2 := strings.Cut(rest, end)
		if !ok || !ok2 {
			t.Fatalf("README.md has no %s … %s", begin, end)
		}
		if table != want && !*update {
			t.Errorf("README.md's table of %s is stale: run `make tidy`\n got:\n%s\nwant:\n%s", name, table, want)
		}
		text = before + begin + want + end + after
	}
	if *update {
		if err := os.WriteFile(readmePath, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func readReadme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(readmePath)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Every failure code says what it asks of a person at 3 a.m., and every metric
// in an alert exists.
func TestReadmeIsOfUseAtNight(t *testing.T) {
	text := readReadme(t)
	_, night, _ := strings.Cut(text, "### At 3 a.m.")
	night, _, _ = strings.Cut(night, "\n###")
	for _, code := range events.Codes() {
		if !strings.Contains(night, "`"+string(code)+"`") {
			t.Errorf("README says nothing about %s at 3 a.m.", code)
		}
	}
	table := telemetry.MetricsTable()
	for _, metric := range regexp.MustCompile(`\b(gemini_[a-z_]+|(gen_ai|messaging|http_client)_[a-z_]+(_total|_seconds))\b`).FindAllString(text, -1) {
		if !strings.Contains(table, "`"+metric+"`") {
			t.Errorf("README names the metric %s, which does not exist", metric)
		}
	}
}
