package upstream

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gemini-client/service/config"
	"gemini-client/service/servicetest"
)

// keyTeller answers questions for keys.
type keyTeller struct {
	mu    sync.Mutex
	tells string // in place of data
	code  int
	asked []string // the keys
}

func (a *keyTeller) set(code int, tells string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.code, a.tells = code, tells
}

// keys returns those that it was asked about.
func (a *keyTeller) keys() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.asked)
}

func (a *keyTeller) react(r *http.Request) (*http.Response, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !strings.HasSuffix(r.URL.Path, "/key") {
		return response(r, 404, `{"error":{"code":404,"message":"no"}}`), nil
	}
	a.asked = append(a.asked, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	return response(r, a.code, a.tells), nil
}

// watched runs a caller in a bubble until the test has ended.
func watched(t *testing.T, teller *keyTeller, secrets ...string) (testCaller, *servicetest.Buffer) {
	t.Helper()
	p, up := newTestCaller(t, func(c *config.Config) { c.APIKeys = secrets }, ok)
	up.catalogue = teller.react
	log := &servicetest.Buffer{}
	p.tel.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { p.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	synctest.Wait()
	return p, log
}

const (
	keyOne = "sk-or-test-0000000000001111"
	keyTwo = "sk-or-test-0000000000002222"
)

// Each key is asked about at the start and every ten minutes, a new one at once, and
// one that ends within a week is a warning a day.
func TestKeysAreWatched(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ends := time.Now().Add(8*24*time.Hour + 12*time.Hour).UTC().Format(time.RFC3339)
		teller := &keyTeller{code: 200, tells: fmt.Sprintf(`{"data":{"label":"sk-or-v1-abc...123","limit":10,"limit_remaining":4.5,"limit_reset":"weekly","usage":5.5,"expires_at":%q}}`, ends)}
		p, log := watched(t, teller, keyOne, keyTwo)
		if got := fmt.Sprint(teller.keys()); got != fmt.Sprint([]string{keyOne, keyTwo}) {
			t.Fatalf("at the start: asked for %s", got)
		}
		if s := p.Status().KeyList[1]; *s.Remaining != 4.5 || *s.Limit != 10 || s.Reset != "weekly" || s.ExpiresAt.Format(time.RFC3339) != ends {
			t.Errorf("status: got %+v", s)
		}
		_ = sleep(t.Context(), keyCheckInterval-time.Second)
		synctest.Wait()
		if n := len(teller.keys()); n != 2 {
			t.Errorf("before the interval is over: asked %d times", n)
		}
		_ = sleep(t.Context(), keyCheckInterval/10+time.Second)
		synctest.Wait()
		if n := len(teller.keys()); n != 4 {
			t.Errorf("after it: asked %d times", n)
		}
		p.keys.replace([]string{keyTwo, "sk-or-test-0000000000003333"})
		synctest.Wait()
		if n := len(teller.keys()); n != 5 || teller.keys()[4] != "sk-or-test-0000000000003333" {
			t.Errorf("with a new key: asked for %v", teller.keys())
		}
		if strings.Contains(log.String(), "expire") {
			t.Errorf("eight days before:\n%s", log)
		}
		_ = sleep(t.Context(), 4*24*time.Hour)
		synctest.Wait()
		text := log.String()
		if n := strings.Count(text, "an API key is about to expire"); n != 2*3 {
			t.Errorf("two keys, on three days: %d warnings\n%s", n, text)
		}
		_ = sleep(t.Context(), 5*24*time.Hour)
		synctest.Wait()
		if text = log.String(); !strings.Contains(text, `level=WARN msg="an API key has expired" key=…2222`) || !strings.Contains(text, "way_out=") {
			t.Errorf("afterwards:\n%s", text)
		}
		if strings.Contains(text, "sk-or-") || strings.Contains(text, "0002222") {
			t.Errorf("the log shows a key:\n%s", text)
		}
	})
}

// A server that has no such endpoint is asked once, and the log is quiet about it.
// OpenRouter, which has answered before, is asked again whatever it says.
func TestServersThatTellNothing(t *testing.T) {
	t.Parallel()
	bodies := map[bool]string{true: `{"data":{"limit":null}}`, false: `{"error":{"message":"no"}}`}
	for name, tt := range map[string]struct {
		first, then int // statuses
		more        bool
	}{
		"a gateway":                       {404, 404, false},
		"OpenRouter fails at the start":   {500, 200, true},
		"it refuses the key":              {401, 401, true},
		"it has answered, then it is odd": {200, 404, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				teller := &keyTeller{code: tt.first, tells: bodies[tt.first == 200]}
				p, log := watched(t, teller, keyOne)
				teller.set(tt.then, bodies[tt.then == 200])
				_ = sleep(t.Context(), 3*keyCheckInterval)
				synctest.Wait()
				if n := len(teller.keys()); tt.more && n < 3 || !tt.more && n != 1 {
					t.Errorf("asked %d times", n)
				}
				for line := range strings.Lines(log.String()) {
					if !strings.Contains(line, "level=DEBUG") && !strings.Contains(line, "does not know the model") {
						t.Errorf("log: %s", line)
					}
				}
				if s := p.Status().KeyList[0]; s.State != usable || s.Remaining != nil {
					t.Errorf("status: got %+v", s)
				}
			})
		})
	}
}
