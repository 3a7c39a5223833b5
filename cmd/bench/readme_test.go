package main

import (
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the tables of README.md") //nolint:gochecknoglobals // flags of a test binary are

// The tables of the READMEs and the plot are made from results.json, which is what `make
// bench-e2e` wrote for the last release: `make tidy` writes them anew.
func TestReadmeTables(t *testing.T) {
	t.Parallel()
	var r report
	if err := json.Unmarshal(read(t, "results.json"), &r); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		"README.md":       between(t, "README.md", "results", r.markdown()),
		"../../README.md": between(t, "../../README.md", "speed", r.brief()),
		"results.svg":     plot(r.Results, r.Machine),
	} {
		if *update {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		} else if had := string(read(t, path)); had != text {
			t.Errorf("%s is stale: run `make tidy`\n got:\n%s\nwant:\n%s", path, had, text)
		}
	}
}

// between is the text of a file with other words between the marks of this name.
func between(t *testing.T, path, name, words string) string {
	t.Helper()
	begin, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->"
	before, rest, ok := strings.Cut(string(read(t, path)), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no %s … %s", path, begin, end)
	}
	return before + begin + words + end + after
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
