package bus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"gemini-client/service/config"
	"gemini-client/service/tenant"
)

// Each asker's question is put after it asked, and one serves all who wait for it.
func TestQuestionsAreShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShare()
		questions, release := uint64(0), make(chan struct{})
		question := func(context.Context) (info cancelsInfo, err error) {
			questions++
			info.State.Last = questions
			<-release
			return info, nil
		}
		var askers sync.WaitGroup
		ask := func(n int, want uint64) {
			for range n {
				askers.Go(func() {
					info, err := s.ask(t.Context(), question, func() { <-release })
					if want == 0 && !errors.Is(err, errAlone) || want > 0 && (err != nil || info.State.Last != want) {
						t.Errorf("answer %d, %v; want %d", info.State.Last, err, want)
					}
				})
			}
			synctest.Wait()
		}
		ask(1, 0)
		ask(5, 1) // they wait for the one before
		release <- struct{}{}
		synctest.Wait()
		ask(5, 2) // the first question is put already
		ended, end := context.WithCancel(t.Context())
		end()
		if _, err := s.ask(ended, question, func() {}); !errors.Is(err, context.Canceled) {
			t.Errorf("an asker that left: %v", err)
		}
		close(release)
		askers.Wait()
		if questions != 2 {
			t.Errorf("questions: %d, want 2", questions)
		}
	})
}

// In a cluster the stream is asked once for many requests, and for each one only where
// it has more than the set.
func TestCancellationsInACluster(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.APIPrefix = "bridge" })
	var infos, gets atomic.Int64
	var held sync.Mutex
	b.bridge("bridge", func(question string, answer []byte) []byte {
		switch {
		case strings.HasPrefix(question, "STREAM.INFO."):
			infos.Add(1)
		case strings.HasPrefix(question, "STREAM.MSG.GET."):
			gets.Add(1)
			held.Lock()
			defer held.Unlock()
		}
		return bytes.Replace(answer, []byte(`"cluster":{"leader":"test"}`), []byte(`"cluster":{"name":"C","leader":"test"}`), 1)
	})
	w := &watched{cancels: newCancels(b.streams(), tenant.NewRegistry()), t: t, js: b.nats.JetStream()}
	w.feedFrom("nobody")
	w.cancel(0, 1)
	w.verifies(0) // what was there at the start is no news
	const all = 50
	looks := func(cancelled int) (asked, got int64) {
		held.Lock()
		infos.Store(0)
		gets.Store(0)
		var lookers sync.WaitGroup
		for i := range all {
			lookers.Go(func() {
				if got, err := w.has(t.Context(), cancellation{id: cancelID(i)}); err != nil || got != (i < cancelled) {
					t.Errorf("id %d: cancelled %v, %v", i, got, err)
				}
			})
		}
		b.Until("all have asked", func() (string, bool) {
			w.share.mu.Lock()
			defer w.share.mu.Unlock()
			return fmt.Sprint(w.share.next), w.share.next != nil && w.share.next.askers == all-2
		})
		held.Unlock()
		lookers.Wait()
		return infos.Load(), gets.Load()
	}
	// One is for the first one, alone. On a busy machine a question is repeated.
	if asked, got := looks(1); asked == 0 || asked+got > all/2 {
		t.Errorf("%d questions for all and %d for one, want 1 and 1", asked, got)
	}
	w.cancel(1, 2)
	if asked, got := looks(2); asked == 0 || got < all-1 {
		t.Errorf("%d questions for all and %d for one, want 1 and %d", asked, got, all-1)
	}
}
