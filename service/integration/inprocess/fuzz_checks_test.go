package inprocess_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/servicetest"
)

// hasDeadLetter checks that what nobody can be answered for was kept.
func (h *fuzzed) hasDeadLetter(ctx context.Context, t *testing.T, sequence uint64) {
	t.Helper()
	m, err := h.deadletters.GetLastMsgForSubject(ctx, h.Names.Deadletter(events.InvalidRequest, ""))
	if err != nil {
		t.Fatalf("the dead letter: %v", err)
	}
	if got, want := m.Header.Get(events.HeaderMsgID), fmt.Sprintf("%s/%d", h.Names.RequestsStream(), sequence); got != want {
		t.Errorf("the last dead letter is of %s, want %s", got, want)
	}
}

// hasResult checks that a request has one result, where it may have one.
func (h *fuzzed) hasResult(ctx context.Context, t *testing.T, request events.Request) {
	t.Helper()
	filter := "*.*.*." + events.CanonicalID(request.ID)
	info, err := h.results.Info(ctx, jetstream.WithSubjectFilter(filter))
	if err != nil {
		t.Fatal(err)
	}
	var total uint64
	for subject, n := range info.State.Subjects {
		total += n
		if !strings.HasPrefix(subject, h.Names.ResponseQueue+".completed.") && !strings.HasPrefix(subject, h.Names.ResponseQueue+".failed.") {
			t.Errorf("a result on %s", subject)
		}
	}
	if total != 1 {
		t.Fatalf("%s has %d results, want 1: %v; the service's log:\n%s", request.ID, total, info.State.Subjects, h.log)
	}
	m, err := h.results.GetLastMsgForSubject(ctx, events.AnyResult(h.Names.ResponseQueue, request.ID))
	if err != nil {
		t.Fatal(err)
	}
	for name := range m.Header {
		if !slices.ContainsFunc(resultHeaders(), func(own string) bool { return strings.HasPrefix(name, own) }) {
			t.Errorf("the result carries the header %q of the request", name)
		}
	}
}

// resultHeaders are the headers of a result, or what they begin with; the last
// ones are those that a direct get adds.
func resultHeaders() []string {
	return []string{
		"ce-", "traceparent", "tracestate", events.HeaderMsgID, events.HeaderTenant, events.HeaderKey, "Nats-Expected-Last-Subject-Sequence",
		"Nats-Stream", "Nats-Subject", "Nats-Sequence", "Nats-Time-Stamp",
	}
}

// neighbour checks that others are answered, that nothing panicked, and that the
// service's streams are what they were. It forgets what was recorded so far.
func (h *fuzzed) neighbour(ctx context.Context, t *testing.T) {
	t.Helper()
	id := servicetest.NewID()
	ack, err := h.JS.Publish(ctx, h.Names.RequestQueue, servicetest.Body(id, "Why is the sky blue?", nil))
	if err != nil {
		t.Fatal(err)
	}
	h.settled(ctx, t, ack.Sequence)
	h.hasResult(ctx, t, events.Request{ID: id})
	if text := h.log.String(); strings.Contains(text, "panic") {
		t.Errorf("the service's log:\n%s", text)
	}
	h.log.Reset()
	h.spans.Reset()
}
