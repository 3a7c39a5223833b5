package inprocess_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/openrouter/simulator"
)

// dropTicks removes what drives batches, as a worker of an older version does: it keeps
// ticks as dead letters.
func (b *bench) dropTicks() {
	b.t.Helper()
	retries := b.mustStream(b.Names.RetriesStream())
	for _, subject := range []string{b.Names.Later(b.Names.BatchTick(), "*"), b.Names.Retries()} {
		if err := retries.Purge(b.Context(), jetstream.WithPurgeSubject(subject)); err != nil {
			b.t.Fatal(err)
		}
	}
}

// Where an older version ran for a while, what drives batches is lost. A worker that starts
// has groups collected and jobs looked after all the same.
func TestLostTicksAreMadeUpFor(t *testing.T) {
	t.Parallel()
	for name, collected := range map[string]bool{"of a group": false, "of a job": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := batched(t, simulator.BatchConfig{Step: simulator.BatchManual}, func(c *config.Config) {
				if c.BatchMaxWait = time.Hour; collected {
					c.BatchMaxWait = time.Second
				}
			})
			r := b.start()
			ids := []string{b.askBatched("one", nil), b.askBatched("two", nil)}
			b.Until("all wait", func() (string, bool) {
				n := b.subjects(b.Names.RetriesStream(), b.Names.Later(b.Names.ResponseQueue, "*"))
				return fmt.Sprint(n), n == len(ids) && b.stream(b.Names.RequestsStream()).Msgs == 0
			})
			if collected {
				b.submitted(1)
			}
			if err := r.stop(); err != nil {
				t.Fatal(err)
			}
			b.dropTicks()
			b.config.BatchMaxWait = time.Second
			b.start()
			b.advanceUntil(len(ids))
			b.Idle()
			for _, id := range ids {
				if got := b.Result(id).Result; got.Status != events.StatusSuccess {
					t.Errorf("result: %+v", got)
				}
			}
			b.wantOnce()
			if n := b.openrouter.Count(); n != 0 {
				t.Errorf("calls: %d, want none", n)
			}
		})
	}
}
