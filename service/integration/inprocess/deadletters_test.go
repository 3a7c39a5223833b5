package inprocess_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"gemini-client/events"
	"gemini-client/service/bus"
	"gemini-client/service/config"
	"gemini-client/service/servicetest"
	"gemini-client/telemetry"
)

// Messages without a usable id, large ones or many, push out no dead letter that
// can be replayed.
func TestJunkEvictsNoLetter(t *testing.T) {
	t.Parallel()
	for name, junk := range map[string]struct{ count, bytes int }{"large": {32, 1_000_000}, "many": {2000, 20_000}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(c *config.Config) { c.DeadlettersMaxBytes = 16 << 20 })
			b.provision()
			const letters = 15
			body := []byte(strings.Repeat("x", 1_000_000))
			for range letters { // as many as DEADLETTERS_MAX_BYTES has room for
				if _, err := b.JS.Publish(b.Context(), b.Names.Deadletter(events.UpstreamUnavailable, servicetest.NewID()), body); err != nil {
					t.Fatal(err)
				}
			}
			b.start()
			for i := range junk.count {
				b.Publish(fmt.Appendf(nil, "no id %d %s", i, strings.Repeat("y", junk.bytes)), nil)
			}
			b.Until("all junk is a dead letter", func() (string, bool) {
				last := b.stream(b.Names.DeadlettersStream()).LastSeq
				return fmt.Sprint(last), last == uint64(letters+junk.count)
			})
			b.Idle()
			if n := len(b.Collect(b.Names.DeadlettersStream(), b.Names.Deadletter(events.UpstreamUnavailable, "*"), letters)); n != letters {
				t.Errorf("letters that can be replayed: %d, want %d", n, letters)
			}
		})
	}
}

// What is kept of a large message without a usable id is its beginning, and says
// so; a small one is kept whole.
func TestJunkIsCut(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.start()
	large := "no id " + strings.Repeat("y", 900_000)
	b.Publish([]byte(large), map[string][]string{"Mine": {"m"}})
	first := b.Collect(b.Names.DeadlettersStream(), "", 1)[0]
	if got := string(first.Body); !strings.HasPrefix(large, got) || len(got) < 32<<10 || len(got) > 64<<10 {
		t.Errorf("%d bytes are kept of %d", len(got), len(large))
	}
	if h := first.Header; h.Get(events.HeaderTruncated) != fmt.Sprint(len(large)) || h.Get("Mine") != "m" || h.Get(events.HeaderReason) == "" {
		t.Errorf("headers: %v", h)
	}
	b.Publish([]byte("no id, and small"), map[string][]string{"Large": {strings.Repeat("h", 60_000)}})
	second := b.Collect(b.Names.DeadlettersStream(), "", 2)[1]
	if _, cut := second.Header[events.HeaderTruncated]; cut || string(second.Body) != "no id, and small" || second.Header.Get("Large") != "" {
		t.Errorf("got %.100s with %.200v", second.Body, second.Header)
	}
}

// A bound that cannot hold one dead letter is refused at start, whether the
// configuration has it or the stream.
func TestTooSmallForOneLetter(t *testing.T) {
	t.Parallel()
	open := func(b *bench) error {
		tel, err := telemetry.Setup(t.Context(), telemetry.Config{Output: b.log})
		if err != nil {
			t.Fatal(err)
		}
		opened, err := bus.Open(b.Context(), b.config, tel)
		if err == nil {
			opened.Close()
		}
		return errors.Join(err, tel.Shutdown(b.Context()))
	}
	small := setup(t, func(c *config.Config) { c.DeadlettersMaxBytes = 1 << 20 })
	if err := open(small); !errors.Is(err, config.ErrInvalid) || !strings.Contains(err.Error(), "DEADLETTERS_MAX_BYTES=1MiB: want at least") {
		t.Errorf("1 MiB where a request may have 1 MiB: %v", err)
	}
	small.config.RequestMaxBytes = 512 << 10
	if err := open(small); err != nil {
		t.Errorf("1 MiB where a request may have 512 KiB: %v", err)
	}
	b := setup(t)
	b.provision()
	s, err := b.JS.Stream(b.Context(), b.Names.DeadlettersStream())
	if err != nil {
		t.Fatal(err)
	}
	c := s.CachedInfo().Config
	c.MaxBytes = 1 << 20
	if _, err := b.JS.UpdateStream(b.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := open(b); !errors.Is(err, bus.ErrTopology) || !strings.Contains(err.Error(), "max_bytes") {
		t.Errorf("a stream of 1 MiB: %v", err)
	}
	if err := bus.NewTopology(small.config, 8<<20).Provision(t.Context(), b.JS); err != nil {
		t.Errorf("requests of 512 KiB, whatever max_payload is: %v", err)
	}
	small.config.RequestMaxBytes = 0
	if err := bus.NewTopology(small.config, 8<<20).Provision(t.Context(), b.JS); !errors.Is(err, config.ErrInvalid) {
		t.Errorf("provision: %v", err)
	}
}
