package telemetry

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// alertRule is a rule of deploy/prometheus/alerts.yaml.
type alertRule struct {
	Alert, Record, Expr, For string
	Labels, Annotations      map[string]string
}

// alertRules are the rules for Prometheus. A field that it does not know fails.
func alertRules(tb testing.TB) []alertRule {
	tb.Helper()
	var file struct {
		Groups []struct {
			Name  string
			Rules []alertRule
		}
	}
	decoder := yaml.NewDecoder(strings.NewReader(readFile(tb, "../deploy/prometheus/alerts.yaml")))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil {
		tb.Fatal(err)
	}
	var all []alertRule
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

// alertsTable is the table of all alerts in Markdown.
func alertsTable(tb testing.TB) string {
	tb.Helper()
	cell := strings.NewReplacer("|", `\|`, "\n", " ")
	placeholder := regexp.MustCompile(`\{\{ \$(?:labels\.)?(\w+)[^}]*\}\}`)
	var b strings.Builder
	b.WriteString("| alert | severity | fires on | meaning |\n|---|---|---|---|\n")
	for _, r := range alertRules(tb) {
		if r.Alert == "" {
			continue
		}
		when := "`" + cell.Replace(r.Expr) + "`"
		if r.For != "" {
			when += " for " + r.For
		}
		fmt.Fprintf(&b, "| [%s](../%s) `%s` | %s | %s | %s |\n", r.Annotations["summary"], runbookPage(r),
			r.Alert, r.Labels["severity"], when, placeholder.ReplaceAllString(r.Annotations["description"], "*$1*"))
	}
	return b.String()
}

// runbookPage is where a rule's runbook_url leads to; of one that depends on a label,
// the page.
func runbookPage(r alertRule) string {
	page, _, _ := strings.Cut(r.Annotations["runbook_url"], "#{{")
	return page
}

// A person who is woken finds what it is about, how bad, and what to do.
func TestAlertsSayWhatToDo(t *testing.T) {
	t.Parallel()
	runbook := readFile(t, "../deploy/runbook.md")
	tested := readFile(t, "../deploy/prometheus/alerts_test.yaml")
	for _, r := range alertRules(t) {
		if r.Alert == "" {
			continue
		}
		if s := r.Labels["severity"]; s != "critical" && s != "warning" {
			t.Errorf("%s: severity %q", r.Alert, s)
		}
		if r.Annotations["summary"] == "" || !strings.HasSuffix(r.Annotations["description"], ".") {
			t.Errorf("%s: summary %q, description %q", r.Alert, r.Annotations["summary"], r.Annotations["description"])
		}
		page, anchor, _ := strings.Cut(r.Annotations["runbook_url"], "#")
		if page != "deploy/runbook.md" || anchor != "{{ $labels.code }}" && !hasHeading(runbook, anchor) {
			t.Errorf("%s: no heading of the runbook: %s", r.Alert, r.Annotations["runbook_url"])
		}
		fires, silent := `alertname: `+r.Alert+"\n", `alertname: `+r.Alert+", "
		if !strings.Contains(tested, fires) || !strings.Contains(tested, silent) {
			t.Errorf("%s: alerts_test.yaml does not say both when it fires and when it does not", r.Alert)
		}
	}
}

// hasHeading reports whether a document has the heading of an anchor, as GitHub
// makes it.
func hasHeading(text, anchor string) bool {
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		slug := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		if strings.ReplaceAll(slug, " ", "-") == anchor {
			return true
		}
	}
	return false
}
