package bus

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gemini-client/service/config"
)

// A process that was cut off takes nobody for dead until others have had the time
// to be back, and neither does one that had to wait for NATS when it started.
func TestNobodyIsTakenForDeadAfterAGap(t *testing.T) {
	t.Parallel()
	s, _ := testStreams(t)
	const never = 24 * time.Hour
	tests := map[string]struct {
		renewed, since time.Duration // ago
		on             uint64
		want           life
	}{
		"without a gap":                                {0, never, 0, gone},
		"a gap long ago":                               {0, rejoinTime, 0, gone},
		"a gap just now":                               {0, rejoinTime / 2, 0, uncertain},
		"in a gap: not renewed in time":                {time.Hour, never, 0, uncertain},
		"in a gap: not yet renewed on this connection": {0, never, 1, uncertain},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHeartbeat(s, name, time.Minute)
			h.stored(time.Now().Add(-tt.renewed), tt.on)
			h.since = time.Now().Add(-tt.since)
			if got, err := h.of(t.Context(), "other"); got != tt.want || err != nil {
				t.Errorf("got %d, %v; want %d", got, err, tt.want)
			}
			c := newClaims(h, time.Minute, nil)
			callback := fmt.Sprintf("gemini.responses.%d-%d", tt.want, len(name))
			if _, err := c.put(t.Context(), s.names.Claim(callback, claimID), mark{Holder{"GEMINI_REQUESTS", 1, "other", 1}, time.Hour}, 0); err != nil {
				t.Fatal(err)
			}
			want := map[life]State{gone: Admitted, uncertain: Busy}[tt.want]
			for _, d := range []*Delivery{message(2), message(1)} { // another message of the request would be acknowledged if its owner lived
				if _, state, err := c.obtain(t.Context(), callback, claimID, d); state != want || err != nil {
					t.Errorf("take for %s: got %d, %v; want %d", d.message(), state, err, want)
				}
			}
		})
	}
}

// What is a gap: another connection, or half the heartbeat's life without a
// renewal.
func TestGaps(t *testing.T) {
	t.Parallel()
	h := newHeartbeat(nil, "one", 3*time.Second)
	begun := time.Now()
	for i, step := range []struct {
		after time.Duration
		on    uint64
		want  bool
	}{{0, 0, false}, {time.Second, 0, false}, {time.Second, 1, true}, {time.Second, 1, false}, {1600 * time.Millisecond, 1, true}} {
		begun = begun.Add(step.after)
		if got := h.stored(begun, step.on); got != step.want {
			t.Errorf("renewal %d: gap %v, want %v", i+1, got, step.want)
		}
	}
	if h.gap() != 2 {
		t.Errorf("gaps: got %d, want 2", h.gap())
	}
}

// A claim that was taken over while this process was cut off, after it was taken
// and before the call, is not called for.
func TestClaimLostBeforeTheCall(t *testing.T) {
	t.Parallel()
	s, _ := testStreams(t)
	one, _ := process(t, s, "one")
	two := dead(s, "two")
	for name, lost := range map[string]bool{"kept": false, "lost": true} {
		held, state, err := one.obtain(t.Context(), "gemini.responses."+name, claimID, message(1))
		if state != Admitted || err != nil {
			t.Fatalf("take: %d, %v", state, err)
		}
		if lost {
			if _, err := two.put(t.Context(), held.subject, mark{Holder{"GEMINI_REQUESTS", 1, "two", 2}, time.Hour}, held.sequence); err != nil {
				t.Fatal(err)
			}
		}
		if kept, _, err := one.keep(t.Context(), held); !kept || err != nil {
			t.Errorf("%s, no gap: got %v, %v; nobody needs to ask", name, kept, err)
		}
		held.gaps--
		if kept, _, err := one.keep(t.Context(), held); kept == lost || err != nil {
			t.Errorf("%s, after a gap: got %v, %v", name, kept, err)
		}
	}
}

// Marks that NATS does not take hold no heartbeat up, whatever the time they take.
func TestHeartbeatBesideSlowMarks(t *testing.T) {
	t.Parallel()
	s, n := testStreams(t)
	deaf, err := n.Connect().Subscribe("hang.>", func(*nats.Msg) {}) // nobody answers: each try takes its whole time
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Unsubscribe()
	slow, _ := claimsOf(s, "slow", 3*time.Second)
	for i := range uint64(100) {
		slow.pending[&claim{subject: fmt.Sprint("hang.", i), sequence: i + 1}] = mark{life: time.Hour}
	}
	runs(t, slow)
	other, _ := process(t, s, "other")
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for range 80 { // longer than heartbeat and one try last
		<-tick.C
		if got, err := other.heartbeat.of(t.Context(), "slow"); got != alive || err != nil {
			t.Fatalf("its heartbeat is gone: %d, %v", got, err)
		}
	}
}

// Who starts knows nothing of an absence of NATS that has just ended, in which
// heartbeats that last longer than everybody's return may have expired. Shorter ones
// would make each restart wait.
func TestNobodyIsTakenForDeadJustAfterTheStart(t *testing.T) {
	t.Parallel()
	s, _ := testStreams(t)
	for name, tt := range map[string]struct {
		ttl    time.Duration
		waited bool
		want   life
	}{
		"a long lease":                      {rejoinTime + time.Second, false, uncertain},
		"a short lease":                     {rejoinTime, false, gone},
		"a short lease, NATS was not there": {rejoinTime, true, uncertain},
	} {
		s.conn.waited = tt.waited
		h := newHeartbeat(s, "one", tt.ttl)
		if err := h.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, err := h.of(t.Context(), "other"); got != tt.want || err != nil {
			t.Errorf("%s: got %d, %v; want %d", name, got, err, tt.want)
		}
	}
}

// A JetStream that had to be waited for was away for others too.
func TestJetStreamThatWasWaitedFor(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.APIPrefix = "later" })
	if waited := setup(t).open().conn.waited; waited {
		t.Error("JetStream was there at once, and counts as waited for")
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b.Until("the log says that it waits", func() (string, bool) {
			text := b.log.String()
			return text, strings.Contains(text, "JetStream is not ready")
		})
		b.bridge("later", func(_ string, answer []byte) []byte { return answer })
	}()
	if !b.open().conn.waited {
		t.Error("JetStream was waited for, and counts as there")
	}
	<-ended
}
