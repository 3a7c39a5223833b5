package main

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestParse(t *testing.T) {
	t.Parallel()
	o, err := parse([]string{"--scenario", "idle,backlog", "--runs", "2", "--worker", "/bin/a", "--worker-b", "b"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if o.runs != 2 || o.worker != "/bin/a" || !filepath.IsAbs(o.workerB) {
		t.Errorf("%+v", o)
	}
	var names []string
	for _, s := range o.chosen() {
		names = append(names, s.name)
	}
	if got := strings.Join(names, " "); got != "backlog idle" {
		t.Errorf("chosen: %s", got)
	}
	for _, wrong := range []string{"--scenario=backlogs", "--runs=0", "--requests=-1", "--unknown", "word"} {
		if _, err := parse([]string{wrong}, nil); !errors.Is(err, errUsage) {
			t.Errorf("%s: %v", wrong, err)
		}
	}
	var help strings.Builder
	if _, err := parse([]string{"--help"}, &help); !errors.Is(err, pflag.ErrHelp) {
		t.Error(err)
	}
	for _, s := range scenarios() {
		if !strings.Contains(help.String(), s.name) {
			t.Errorf("--help does not name %s", s.name)
		}
	}
}
