package batch_test

import (
	"fmt"
	"testing"

	"gemini-client/service/openrouter/simulator"
)

// Many invalid requests are not looked for one after the other for days: a job is divided
// a few times, and what is left goes on without a batch. A valid one is not said to be
// invalid.
func TestManyInvalidRequests(t *testing.T) {
	t.Parallel()
	for name, names := range map[string]simulator.BatchNames{"by its custom id": simulator.NamesCustomID, "by halves": simulator.NamesNothing} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, simulator.BatchConfig{Names: names})
			var valid []string
			const n = 60
			for i := range n {
				if i%6 == 0 {
					valid = append(valid, b.ask(fmt.Sprintf("question %d", i)))
					continue
				}
				b.ask(fmt.Sprintf("question %d [sim:batch_invalid]", i))
			}
			b.tick(group)
			b.finish(job)
			if made := len(b.router.Batches()); made > 40 && names == simulator.NamesCustomID {
				t.Errorf("batches: %d, want 40 at most", made)
			}
			for _, id := range valid {
				if code := b.returned[id]; !b.answered[id] && !code.Retryable() {
					t.Errorf("a valid one: %q", code)
				}
			}
			if all := len(b.answered) + len(b.returned); all != n {
				t.Errorf("%d requests, want %d", all, n)
			}
		})
	}
}
