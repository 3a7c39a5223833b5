package upstream_test

import (
	"iter"
	"testing"
	"time"

	"gemini-client/service/config"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/upstream"
)

// Batches are looked for with every key; one that OpenRouter refuses hides none of the
// others', and another key reads what a key that is gone has submitted.
func TestBatchesOfEveryKey(t *testing.T) {
	t.Parallel()
	const refused, good = "sk-or-test-refused-0000", "sk-or-test-good-00000001"
	b := newBench(t, simulator.Config{Keys: []string{good}}, func(c *config.Config) { c.APIKeys = []string{refused, good} })
	items := func() iter.Seq2[upstream.BatchItem, error] {
		return func(yield func(upstream.BatchItem, error) bool) {
			yield(upstream.BatchItem{CustomID: "a-0.0", Request: request("Why?")}, nil)
		}
	}
	var submitted upstream.Batch
	var err error
	for range 2 { // the refused key may be the first
		if submitted, err = b.SubmitBatch(t.Context(), upstream.BatchJob{Model: request("").Model}, items()); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	found, err := b.FindBatches(t.Context(), time.Now().Add(-time.Minute))
	if err != nil || len(found) != 1 || found[0].ID != submitted.ID || found[0].Total != 1 {
		t.Errorf("found %+v, %v; want %s", found, err, submitted.ID)
	}
	if read, err := b.Batch(t.Context(), "a key that is gone", submitted.ID); err != nil || read.ID != submitted.ID {
		t.Errorf("read %+v, %v", read, err)
	}
}
