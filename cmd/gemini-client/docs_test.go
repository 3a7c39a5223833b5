package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gemini-client/events"
)

// documents are the pages for people, from the repository's root.
var documents = []string{ //nolint:gochecknoglobals // constant
	"README.md", "cmd/gemini-client/README.md", "deploy/README.md", "deploy/kubernetes/README.md", "deploy/runbook.md", "events/README.md", "service/README.md", "telemetry/README.md",
}

const (
	root   = "../.."
	alerts = "deploy/prometheus/alerts.yaml"
)

// The front door is a page.
func TestReadmeIsAPage(t *testing.T) {
	if n := len(readFile(t, filepath.Join(root, "README.md"))); n > 12<<10 {
		t.Errorf("README.md has %d bytes, want at most 12 KiB: the rest belongs beside what it describes", n)
	}
}

// Every failure code has a heading in the runbook, for alerts to link to.
func TestRunbookHasEveryCode(t *testing.T) {
	runbook := readFile(t, filepath.Join(root, "deploy/runbook.md"))
	for _, code := range events.Codes() {
		if !strings.Contains(runbook, "\n## `"+string(code)+"`\n") {
			t.Errorf("deploy/runbook.md has no heading for %s", code)
		}
	}
}

// The objective leaves out what a requester causes or decides, and nothing else.
func TestObjectiveKnowsTheCodes(t *testing.T) {
	leftOut := []events.Code{
		events.InvalidRequest, events.CallbackNotAllowed, events.PayloadTooLarge, events.Cancelled, events.ContentFiltered,
		events.ContextLengthExceeded, events.BudgetExceeded,
	}
	var names []string
	for _, code := range leftOut {
		names = append(names, string(code))
	}
	_, objective, _ := strings.Cut(readFile(t, filepath.Join(root, alerts)), "- name: gemini-client-slo")
	lists := regexp.MustCompile(`code!~"([^"]*)"`).FindAllStringSubmatch(objective, -1)
	if len(lists) == 0 {
		t.Error("the objective leaves nothing out")
	}
	for _, list := range lists {
		if list[1] != strings.Join(names, "|") {
			t.Errorf("%s leaves out %s, want %v", alerts, list[1], names)
		}
	}
}

// The metrics that documents name exist.
func TestDocumentsNameRealMetrics(t *testing.T) {
	_, table, ok := strings.Cut(readFile(t, filepath.Join(root, "telemetry/README.md")), "<!-- metrics -->")
	if !ok {
		t.Fatal("telemetry/README.md has no table of metrics")
	}
	for _, path := range append(slices.Clip(documents), alerts) {
		text := readFile(t, filepath.Join(root, path))
		for _, metric := range regexp.MustCompile(`\b(gemini_[a-z_]+|(gen_ai|messaging|http_client)_[a-z_]+(_total|_seconds))\b`).FindAllString(text, -1) {
			if !strings.Contains(table, "`"+metric+"`") {
				t.Errorf("%s names the metric %s, which does not exist", path, metric)
			}
		}
	}
}

// Links between documents lead to files and headings that exist.
func TestDocumentsLinkToWhatExists(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, path := range documents {
		for _, match := range link.FindAllStringSubmatch(readFile(t, filepath.Join(root, path)), -1) {
			target, anchor, _ := strings.Cut(match[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			to := filepath.Join(root, filepath.Dir(path), target)
			if target == "" {
				to = filepath.Join(root, path)
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s links to %s: %v", path, match[1], err)
			} else if anchor != "" && !anchors(readFile(t, to))[anchor] {
				t.Errorf("%s links to %s: there is no such heading", path, match[1])
			}
		}
	}
}

// The files that service/README.md names exist. It leaves "service/" and a
// directory that it has just named away.
func TestDocumentsNameRealFiles(t *testing.T) {
	directories := []string{"", "service", "service/bus", "service/upstream", "service/integration", "service/integration/inprocess"}
	for _, match := range regexp.MustCompile("`([a-z_/-]+\\.go)`").FindAllStringSubmatch(readFile(t, filepath.Join(root, "service/README.md")), -1) {
		if !slices.ContainsFunc(directories, func(directory string) bool {
			_, err := os.Stat(filepath.Join(root, directory, match[1]))
			return err == nil
		}) {
			t.Errorf("service/README.md names %s, which does not exist", match[1])
		}
	}
}

// anchors are those that GitHub makes of a document's headings.
func anchors(text string) map[string]bool {
	all := map[string]bool{}
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		slug := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		all[strings.ReplaceAll(slug, " ", "-")] = true
	}
	return all
}
