package bus

import (
	"strings"
	"testing"
	"time"

	"gemini-client/service/config"
)

// A worker whose consumer or whose results stream is gone is not ready, also while
// it pulls nothing.
func TestUnreadyWithoutPulls(t *testing.T) {
	t.Parallel()
	for name, gone := range map[string]struct {
		says string
		end  func(b *bench) error
	}{
		"consumer": {"consumer gemini-client of GEMINI_RETRIES", func(b *bench) error {
			return b.JS.DeleteConsumer(b.Context(), b.Names.RetriesStream(), Durable)
		}},
		"queue":   {"GEMINI_REQUESTS", func(b *bench) error { return b.JS.DeleteStream(b.Context(), b.Names.RequestsStream()) }},
		"results": {"stream GEMINI_RESPONSES", func(b *bench) error { return b.JS.DeleteStream(b.Context(), b.Names.ResponsesStream()) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(c *config.Config) { c.Provision = false })
			b.provision()
			bus := b.open()
			b.run(bus, Handlers{Pause: func() (time.Duration, string) { return time.Second, "for a test" }})
			b.Until("it is ready", func() (string, bool) { why := bus.Unready(); return why, why == "" })
			if err := gone.end(b); err != nil {
				t.Fatal(err)
			}
			b.Until("it is not ready", func() (string, bool) {
				why := bus.Unready()
				return why, strings.Contains(why, gone.says) && strings.Contains(why, " is missing") && strings.Contains(why, "provision")
			})
			b.provision()
			b.Until("it is ready again", func() (string, bool) { why := bus.Unready(); return why, why == "" })
		})
	}
}

// A worker whose heartbeat cannot be stored takes nothing. It is not ready, and says
// so once, until the heartbeat can be stored again.
func TestUnreadyWithoutHeartbeat(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.Provision = false })
	b.provision()
	bus := b.open()
	b.run(bus, Handlers{})
	b.Until("it is ready", func() (string, bool) { why := bus.Unready(); return why, why == "" })
	if err := b.JS.DeleteStream(b.Context(), b.Names.ClaimsStream()); err != nil {
		t.Fatal(err)
	}
	b.Until("it is not ready", func() (string, bool) {
		why := bus.Unready()
		return why, strings.Contains(why, "the heartbeat cannot be stored in stream GEMINI_CLAIMS")
	})
	const warning, over = "the heartbeat cannot be stored: no requests are taken", "the heartbeat is stored again"
	b.Until("the log says it", func() (string, bool) { return "", strings.Contains(b.log.String(), warning) })
	b.provision()
	b.Until("it is ready again", func() (string, bool) { why := bus.Unready(); return why, why == "" })
	b.Result(b.Ask("after", nil))
	if log := b.log.String(); strings.Count(log, warning) != 1 || strings.Count(log, over) != 1 {
		t.Errorf("the log does not say it once:\n%s", log)
	}
}
