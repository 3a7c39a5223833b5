package batch_test

import (
	"fmt"
	"regexp"
	"slices"
	"testing"
	"time"

	"gemini-client/events"
	"gemini-client/service/batch"
	"gemini-client/service/openrouter/simulator"
)

// jobs describes the jobs that have not ended, in the order in which they were made.
func (b *bench) jobs() (list []batch.Description) {
	b.t.Helper()
	for after := uint64(0); ; {
		r, err := b.bus.NextBatchRecord(b.t.Context(), batch.RecordsOfJobs, after)
		if err != nil {
			b.t.Fatal(err)
		}
		if r == nil {
			return list
		}
		d, open, err := batch.Describe(*r)
		if err != nil {
			b.t.Fatal(err)
		}
		if after = r.Sequence; open {
			list = append(list, d)
		}
	}
}

// A batch takes what is less than the 200 MB that OpenRouter allows, with room for what
// each request gets beside its body. The rest makes the next one.
func TestBytesOfABatch(t *testing.T) {
	t.Parallel()
	const mb = 1_000_000
	for name, tt := range map[string]struct{ sizes, want []int }{
		"small ones":    {[]int{mb, mb, mb}, []int{3}},
		"at the bound":  {[]int{90 * mb, 89 * mb, mb}, []int{2, 1}},
		"large ones":    {[]int{100 * mb, 100 * mb, 50 * mb, 29 * mb, 2 * mb}, []int{1, 3, 1}},
		"one too large": {[]int{mb, 300 * mb, mb}, []int{1, 1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, simulator.BatchConfig{})
			for i, size := range tt.sizes {
				b.askOf(fmt.Sprint(i), size)
			}
			b.tick(group)
			var got []int
			for _, d := range b.jobs() {
				got = append(got, d.Requests)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("jobs of %v requests, want %v", got, tt.want)
			}
		})
	}
}

// OpenRouter gives batches of Google Vertex 96 hours: they are waited for, and not for
// ever.
func TestBatchOfVertexMayTakeFourDays(t *testing.T) {
	t.Parallel()
	b := setup(t, simulator.BatchConfig{Step: simulator.BatchManual})
	id := b.ask("one")
	b.tick(group)
	b.tick(job)
	for _, tt := range []struct {
		age  time.Duration
		ends bool
	}{{97 * time.Hour, false}, {batch.Longest + time.Minute, true}} {
		record, err := b.bus.BatchRecord(t.Context(), batch.RecordsOfJobs, job)
		if err != nil {
			t.Fatal(err)
		}
		long := time.Now().Add(-tt.age).UTC().Format(time.RFC3339)
		record.Body = regexp.MustCompile(`"(created|posted)":"[^"]*"`).ReplaceAll(record.Body, []byte(`"$1":"`+long+`"`))
		if _, err := b.bus.PutBatchRecord(t.Context(), batch.RecordsOfJobs, record, time.Hour); err != nil {
			t.Fatal(err)
		}
		if next := b.tick(job); next.IsZero() != tt.ends || (b.returned[id] == events.UpstreamTimeout) != tt.ends {
			t.Errorf("after %s: looked at again at %v, returned %q", tt.age, next, b.returned[id])
		}
	}
}
