package main

import (
	"fmt"
	"testing"
	"time"

	"gemini-client/events"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// The batches under way are listed, and no others.
func TestStatusOfBatches(t *testing.T) {
	t.Parallel()
	b := setup(t)
	router := servicetest.RunOpenRouter(t, simulator.Config{Batch: simulator.BatchConfig{Step: simulator.BatchManual}})
	b.set("OPENROUTER_BASE_URL", router.URL)
	b.set("BATCH_MAX_WAIT", "1s")
	if o := b.status(); o.Batches == nil || len(o.Batches) != 0 || len(o.Unseen) != 0 {
		t.Errorf("before there are any: %v, unseen %v", o.Batches, o.Unseen)
	}
	began := time.Now().Truncate(time.Second)
	b.work()
	ids := []string{b.Ask(secret, map[string]any{"tier": "batch"}), b.Ask(secret, map[string]any{"tier": "batch"})}
	b.Until("a batch has both", func() (string, bool) {
		o := b.status()
		n := 0
		for _, d := range o.Batches {
			if d.State == "submitted" {
				n += d.Requests
			}
		}
		return fmt.Sprintf("%+v", o.Batches), n == len(ids)
	})
	d := b.status().Batches[0]
	if d.ID != router.Batches()[0].ID || d.Model != "google/gemini-2.5-flash" || d.Job == "" || d.Since.Before(began) || d.Since.After(time.Now()) {
		t.Errorf("got %+v", d)
	}
	b.expect([]string{"status"}, "batch        "+d.ID+"  submitted, ", " of google/gemini-2.5-flash, since "+clock(d.Since))
	b.Until("they are answered", func() (string, bool) {
		router.AdvanceBatches()
		return "", len(b.Results()) == len(ids)
	})
	b.Until("no batch is under way", func() (string, bool) {
		o := b.status()
		return fmt.Sprintf("%+v", o.Batches), len(o.Batches) == 0
	})
	for _, id := range ids {
		if got := b.Result(id).Result; got.Status != events.StatusSuccess {
			t.Errorf("result: %+v", got)
		}
	}
}

// A record that cannot be read is named, and hides no other.
func TestStatusOfBrokenBatches(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for job, body := range map[string]string{
		"g-0": `{"id":"g-0","state":"submitting","created":"2026-11-27T12:00:00Z","items":["i 0 0"],"callbacks":["c"]}`,
		"g-1": `{"id":"g-1","state":"ended","created":"2026-11-27T12:00:00Z"}`,
		"g-2": "no JSON",
	} {
		b.put(b.Names.BatchRecord("jobs", job), nil, []byte(body))
	}
	b.expect([]string{"status"}, "batch        job g-0  submitting, 1 request of a model that is not known yet, since 2026-11-27T12:00:00Z", "not seen     the record of job g-2")
	if o := b.status(); len(o.Batches) != 1 || o.Batches[0].Requests != 1 {
		t.Errorf("got %+v", o.Batches)
	}
}
