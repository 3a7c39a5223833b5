package bus

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/servicetest"
)

// Dead letters that go for want of room are counted, and said once each time it
// starts. What an operator deletes is not.
func TestEvictionsAreCounted(t *testing.T) {
	t.Parallel()
	b := newBacklogBench(t, servicetest.RunNATS(t), func(c *config.Config) { c.DeadlettersMaxBytes = 4 << 20 })
	var counted int64
	b.evictions.count = func(_ context.Context, n int64) { counted += n }
	letters := func(n int) {
		for range n {
			b.put(&nats.Msg{Subject: b.bench.Names.Deadletter(events.Internal, servicetest.NewID()), Data: make([]byte, 500_000)})
		}
	}
	read := func(why string, want int64, warnings int) {
		t.Helper()
		b.read(t.Context())
		if said := strings.Count(b.bench.log.String(), "dead letters are evicted"); counted != want || said != warnings {
			t.Errorf("%s: %d counted and %d times said, want %d and %d", why, counted, said, want, warnings)
		}
	}
	letters(10) // 5 of 5 MiB
	read("before the first reading", 0, 0)
	letters(3)
	stored := b.State("GEMINI_DEADLETTERS").Msgs
	read("three more", int64(13-stored), 1)
	letters(2)
	read("and two", int64(15-stored), 1)
	s, err := b.JS.Stream(b.Context(), "GEMINI_DEADLETTERS")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Purge(b.Context(), jetstream.WithPurgeKeep(2)); err != nil {
		t.Fatal(err)
	}
	letters(1)
	read("purged by an operator", int64(15-stored), 1)
	letters(12)
	b.evictions.last = time.Now().Add(-2 * evictionsEnd)
	read("much later", int64(15-stored)+int64(15-stored), 2)
	if sizes := b.numbers(time.Now()).Sizes; len(sizes) != 2 {
		t.Errorf("sizes: %+v", sizes)
	}
}

// A result that is refused for want of room ends the intake at once, whatever the
// last reading says, until there is room or nothing is refused any more.
func TestRefusedResultEndsTheIntake(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.ResultsMaxBytes = 4 << 20 })
	bus := b.open() // and it reads the size
	for size := 1 << 19; size > 0; size /= 2 {
		for full := false; !full; {
			_, err := b.JS.Publish(b.Context(), events.Completed(claimCallback, servicetest.NewID()), make([]byte, size))
			full = err != nil
		}
	}
	if why := bus.Full(); why != "" {
		t.Fatalf("before a result is refused: %s", why)
	}
	stored := make(chan error, 1)
	go func() {
		_, err := bus.results.store(t.Context(), aResult("one", true))
		stored <- err
	}()
	b.Until("it is full", func() (string, bool) { why := bus.Full(); return why, why != "" })
	if why := bus.backlog.full(time.Now().Add(readInterval)); why != "" {
		t.Errorf("nothing was refused since, but %s", why)
	}
	b.config.ResultsMaxBytes = 64 << 20
	b.provision()
	if err := <-stored; err != nil {
		t.Error(err)
	}
	bus.backlog.read(b.Context())
	if why := bus.Full(); why != "" {
		t.Errorf("there is room, but %s", why)
	}
}

// Not every message that is gone was evicted.
func TestEvicted(t *testing.T) {
	t.Parallel()
	start := time.Now()
	info := func(first, last, messages, bytes uint64) *jetstream.StreamInfo {
		return &jetstream.StreamInfo{
			Created: start, TimeStamp: start.Add(time.Hour), Config: jetstream.StreamConfig{MaxBytes: 1000, MaxAge: 2 * time.Hour},
			State: jetstream.StreamState{FirstSeq: first, LastSeq: last, Msgs: messages, Bytes: bytes, FirstTime: start},
		}
	}
	full := info(1, 10, 10, 1000)
	for name, tt := range map[string]struct {
		before, now *jetstream.StreamInfo
		want        int64
	}{
		"three came and went":         {full, info(4, 13, 10, 1000), 3},
		"with gaps between them":      {info(1, 10, 8, 1000), info(4, 13, 9, 1000), 2},
		"large ones for a small one":  {full, info(3, 11, 9, 950), 2},
		"from the middle":             {full, info(1, 13, 10, 1000), 0},
		"nothing came":                {full, info(4, 10, 7, 950), 0},
		"there is room":               {full, info(4, 13, 10, 800), 0},
		"more than it holds, at once": {info(1, 0, 0, 0), info(11, 20, 10, 1000), 10},
		"they were old": {full, func() *jetstream.StreamInfo {
			i := info(4, 13, 10, 1000)
			i.TimeStamp = start.Add(3 * time.Hour)
			return i
		}(), 0},
		"another stream": {full, func() *jetstream.StreamInfo {
			i := info(4, 13, 10, 1000)
			i.Created = start.Add(time.Minute)
			return i
		}(), 0},
		"no limit": {full, func() *jetstream.StreamInfo {
			i := info(4, 13, 10, 1000)
			i.Config.MaxBytes = -1
			return i
		}(), 0},
	} {
		if got := evicted(tt.before, tt.now, 100); got != tt.want {
			t.Errorf("%s: got %d, want %d", name, got, tt.want)
		}
	}
}
