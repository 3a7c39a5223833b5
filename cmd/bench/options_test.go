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
	tenants, err := parse([]string{"--scenario", "flood", "--tenants", "20,50"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if names := (&bench{options: tenants}).hosts(1); len(names) != 2 || names[0].name != "service, 20 tenants" || names[1].tenants != 50 {
		t.Errorf("%+v", names)
	}
	for _, wrong := range []string{"--scenario=backlogs", "--runs=0", "--requests=-1", "--seconds=-1", "--tenants=0", "--tenants=20,1001", "--unknown", "word"} {
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
