package main

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/service/servicetest"
)

// provisioned is a server to provision, and the program for it.
func provisioned(t *testing.T) (*program, jetstream.JetStream) {
	t.Helper()
	n := servicetest.RunNATS(t)
	return newProgram(t, map[string]any{"NATS_URL": n.URL}), n.JetStream()
}

func TestProvisionMissingChangesNothing(t *testing.T) {
	t.Parallel()
	p, js := provisioned(t)
	names := servicetest.Names()
	for range 2 {
		code, out, errs := p.invoke("", "provision", "--missing", "--reader", "backend")
		if code != 0 || errs != "" || !strings.Contains(out, names.DeadlettersStream()) || !strings.Contains(out, "backend, gemini.responses.*.*") {
			t.Fatalf("exit code %d: %s%s", code, out, errs)
		}
	}
	change := func(edit func(*jetstream.StreamConfig)) {
		t.Helper()
		s, err := js.Stream(t.Context(), names.RequestsStream())
		if err != nil {
			t.Fatal(err)
		}
		c := s.CachedInfo().Config
		edit(&c)
		if _, err := js.UpdateStream(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	description := func() string {
		t.Helper()
		s, err := js.Stream(t.Context(), names.RequestsStream())
		if err != nil {
			t.Fatal(err)
		}
		return s.CachedInfo().Config.Description
	}

	change(func(c *jetstream.StreamConfig) { c.Description = "changed by hand" })
	if code, out, errs := p.invoke("", "provision", "--missing"); code != 0 || description() != "changed by hand" {
		t.Errorf("a harmless difference: exit code %d, description %q: %s%s", code, description(), out, errs)
	}
	change(func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld })
	if code, _, errs := p.invoke("", "provision", "--missing"); code != 2 || !strings.Contains(errs, "discard") {
		t.Errorf("a harmful difference: exit code %d: %s", code, errs)
	}
	if code, _, errs := p.invoke("", "provision"); code != 0 || description() == "changed by hand" {
		t.Errorf("without --missing: exit code %d, description %q: %s", code, description(), errs)
	}
}

func TestProvisionReaders(t *testing.T) {
	t.Parallel()
	p, js := provisioned(t)
	p.set("CALLBACK_ALLOW", []string{"gemini.responses.a", "gemini.responses.b"})
	code, _, errs := p.invoke("", "provision", "--reader", "team a", "--reader", "x=gemini.claims", "--reader", "y")
	if code != 2 || !strings.Contains(errs, `"team a"`) || !strings.Contains(errs, `"gemini.claims"`) || !strings.Contains(errs, `"gemini.responses"`) {
		t.Errorf("three problems: exit code %d: %s", code, errs)
	}
	if code, _, errs = p.invoke("", "provision", "--reader", "a=gemini.responses.a", "--reader", "b=gemini.responses.b"); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	for _, name := range []string{"a", "b"} {
		consumer, err := js.Consumer(t.Context(), servicetest.Names().ResponsesStream(), name)
		if err != nil {
			t.Fatal(err)
		}
		if c := consumer.CachedInfo().Config; c.FilterSubject != "gemini.responses."+name+".*.*" || c.AckPolicy != jetstream.AckExplicitPolicy || c.MaxDeliver != -1 {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

// A dry run shows what would change, and changes nothing.
func TestProvisionDryRun(t *testing.T) {
	t.Parallel()
	p, js := provisioned(t)
	names := servicetest.Names()
	code, out, errs := p.invoke("", "provision", "--dry-run", "--reader", "backend")
	if code != 1 || errs != "" || !strings.Contains(out, "stream GEMINI_REQUESTS: would be created") || !strings.Contains(out, "consumer backend of GEMINI_RESPONSES: would be created") {
		t.Errorf("on an empty server: exit code %d: %s%s", code, out, errs)
	}
	if _, err := js.Stream(t.Context(), names.RequestsStream()); err == nil {
		t.Error("a dry run makes streams")
	}
	if code, _, errs := p.invoke("", "provision"); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	if code, out, errs := p.invoke("", "provision", "--dry-run"); code != 0 || out != "nothing would change\n" {
		t.Errorf("after provisioning: exit code %d: %s%s", code, out, errs)
	}
	p.set("RESULTS_MAX_AGE", "200h")
	if code, out, _ := p.invoke("", "provision", "--dry-run"); code != 1 || !strings.Contains(out, "stream GEMINI_RESPONSES: max_age: the server has 168h0m0s, the configuration wants 200h0m0s\n") || !strings.Contains(out, "nothing was changed") {
		t.Errorf("another age: exit code %d: %s", code, out)
	}
	if code, _, errs := p.invoke("", "provision", "--dry-run", "--missing"); code != 2 {
		t.Errorf("both flags: exit code %d: %s", code, errs)
	}
}
