package main

import (
	"os/exec"
	"strings"
	"testing"
)

// CI goes on without the database of vulnerabilities, saying so, and with nothing else
// that went wrong.
func TestVulnIsSkippedOnlyWithoutItsDatabase(t *testing.T) {
	t.Parallel()
	const away = `govulncheck: fetching vulnerabilities: Get "https://vuln.go.dev/index/modules.json.gz": dial tcp: lookup vuln.go.dev: no such host`
	for name, c := range map[string]struct {
		says     string
		code     string
		require  string
		want     int
		notCheck bool
	}{
		"nothing found":              {"No vulnerabilities found.", "0", "", 0, false},
		"a vulnerability":            {"Vulnerability #1: GO-2026-0001", "3", "", 3, false},
		"a vulnerability, and words": {away, "3", "", 3, false},
		"the database is away":       {away, "1", "", 0, true},
		"and has to be there":        {away, "1", "1", 1, true},
		"a proxy refuses":            {`govulncheck: fetching vulnerabilities: Get "https://vuln.go.dev/index/modules.json.gz": Forbidden`, "1", "", 1, false},
		"packages do not load":       {"govulncheck: loading packages: dial tcp: no such host", "1", "", 1, false},
		"there is no such program":   {"", "127", "", 127, false},
	} {
		check := exec.CommandContext(t.Context(), "../../.ci/vuln", "sh", "-c", `printf '%s\n' "$1"; exit "$2"`, "sh", c.says, c.code)
		check.Env = append(check.Environ(), "REQUIRE_VULN="+c.require)
		out, err := check.CombinedOutput()
		if err != nil && check.ProcessState == nil {
			t.Fatal(err)
		}
		if code := check.ProcessState.ExitCode(); code != c.want || strings.Contains(string(out), "NOT CHECKED") != c.notCheck || !strings.Contains(string(out), c.says) {
			t.Errorf("%s: exit code %d, want %d: %s", name, code, c.want, out)
		}
	}
}

// The flag says what the command does.
func TestVersionFlag(t *testing.T) {
	t.Parallel()
	code, out, errs := invoke(t, "", "--version")
	if _, want, _ := invoke(t, "", "version"); code != 0 || out != want || errs != "" || !strings.HasPrefix(out, "gemini-client ") {
		t.Errorf("exit code %d: %q%s, want %q", code, out, errs, want)
	}
}
