package upstream

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gemini-client/events"
	"gemini-client/service/config"
)

// grows begins an answer that needs room, and then breaks off, or says nothing more.
func grows(hangs bool) reaction {
	return func(r *http.Request) (*http.Response, error) {
		re := response(r, http.StatusOK, "")
		body := strings.NewReader(fmt.Sprintf(`data: {"choices":[{"index":0,"delta":{"content":"%064d"}}]}`+"\n\n"+
			`data: {"choices":[{"index":0,"delta":{"content":"%0*d"}}]}`+"\n\n", 1, 64<<10, 1))
		re.Body = io.NopCloser(body)
		if hangs {
			re.Body = io.NopCloser(io.MultiReader(body, silence{r.Context()}))
		}
		return re, nil
	}
}

// silence is the body of an answer that says nothing until its call is ended.
type silence struct{ ctx context.Context } //nolint:containedctx // the call's

func (s silence) Read([]byte) (int, error) {
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

// Nobody else is to blame for an answer that had to wait for our memory until its
// time was over, or its connection broke. A request that has run into CALL_TIMEOUT so
// leaves its slot at once, and its timeouts are not counted.
func TestWaitForRoomIsNoFaultOfTheModel(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		wait     time.Duration // for room
		limit    time.Duration // CALL_TIMEOUT, 30 s being the time between tokens
		hangs    bool
		code     events.Code
		attempts int
		timedOut bool
		excused  bool
	}{
		"all the time":                {24 * time.Hour, 20 * time.Second, true, events.UpstreamTimeout, 1, false, true},
		"some of the time":            {roomPatience + time.Second, 20 * time.Second, true, events.UpstreamTimeout, 1, false, true},
		"silence after it":            {roomPatience + time.Second, time.Minute, true, events.UpstreamTimeout, 2, true, false},
		"hardly":                      {roomPatience / 8, 20 * time.Second, true, events.UpstreamTimeout, 2, true, false},
		"broken off after it":         {roomPatience + time.Second, time.Minute, false, events.UpstreamInvalidResponse, 3, false, true},
		"broken off, and hardly any":  {roomPatience / 8, time.Minute, false, events.UpstreamInvalidResponse, 3, false, false},
		"broken off without any wait": {0, time.Minute, false, events.UpstreamInvalidResponse, 3, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p, up := newTestCaller(t, func(c *config.Config) { c.CallTimeout = tt.limit }, grows(tt.hangs))
				ctx := WithRoom(t.Context(), func(ctx context.Context, bytes int) error {
					if bytes < 0 {
						return nil
					}
					return sleep(ctx, tt.wait)
				})
				re, _ := p.run(ctx, ignore)
				checkReply(t, re, tt.code)
				if re.Err == nil || re.Attempts != tt.attempts || re.TimedOut != tt.timedOut {
					t.Fatalf("got %+v, error %v, want %+v", re, re.Err, tt)
				}
				blamed := p.models.of("m").failed
				if (re.Err.health == healthUnknown) != tt.excused || blamed.IsZero() != tt.excused || tt.excused && up.lookups > 0 {
					t.Errorf("health %v, blamed at %v, %d lookups; want it excused: %t", re.Err.health, blamed, up.lookups, tt.excused)
				}
				if tt.code == events.UpstreamTimeout && re.Err.Heals != Later {
					t.Errorf("heals %v, want later", re.Err.Heals)
				}
				if ours := strings.Contains(re.Err.Message, "WORKER_MEMORY_BUDGET"); ours != (tt.excused && tt.hangs) {
					t.Errorf("the text is %q", re.Err.Message)
				}
			})
		})
	}
}
