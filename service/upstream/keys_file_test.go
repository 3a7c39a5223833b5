package upstream

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gemini-client/service/config"
)

// A changed file is taken up without a restart; a bad one changes nothing.
func TestKeysFileIsFollowed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("sk-or-old")
	synctest.Test(t, func(t *testing.T) {
		k := testKeys(0, "sk-or-old")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		log := &strings.Builder{}
		go k.follow(ctx, config.OpenRouter{APIKeysFile: path, BaseURL: "http://simulator:1"}, slog.New(slog.NewTextHandler(log, nil)))
		after := func(text string) string {
			write(text)
			time.Sleep(2 * keysFileInterval) //nolint:forbidigo // the bubble's clock
			synctest.Wait()
			return strings.Join(k.secrets(), " ")
		}
		old := k.all[0]
		old.until = time.Now().Add(time.Hour)
		if got := after("sk-or-new\nsk-or-old\n"); got != "sk-or-new sk-or-old" {
			t.Errorf("both: got %q", got)
		}
		if k.all[1] != old {
			t.Error("what was known of the old key is forgotten")
		}
		for _, bad := range []string{"", "# nothing\n", "AIzaGoogle", "sk-or a", "sk-or-v1-real-in-clear"} {
			if got := after(bad); got != "sk-or-new sk-or-old" {
				t.Errorf("%q: got %q, want the keys before it", bad, got)
			}
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * keysFileInterval) //nolint:forbidigo // the bubble's clock
		synctest.Wait()
		if got := after("sk-or-new"); got != "sk-or-new" {
			t.Errorf("the old one removed: got %q", got)
		}
		cancel()
		synctest.Wait()
		text := log.String()
		if n := strings.Count(text, "not taken up"); n < 3 || n > 6 {
			t.Errorf("complaints: %d\n%s", n, text)
		}
		if strings.Contains(text, "AIza") || strings.Contains(text, "sk-or-") {
			t.Errorf("the log holds a key:\n%s", text)
		}
	})
}

func TestKeyList(t *testing.T) {
	t.Parallel()
	k := testKeys(0, "sk-or-v1-aaaaaaaaaaaaabcd", "sk-or-v1-bbbbbbbbbbbbefgh")
	l, err := k.lend(t.Context(), 0, need{})
	if err != nil {
		t.Fatal(err)
	}
	k.failed(l, asks(tooMany(), time.Hour))
	if _, err := k.lend(t.Context(), 0, need{}); err != nil {
		t.Fatal(err)
	}
	states := map[string]KeyStatus{}
	for _, s := range k.list() {
		states[s.End] = s
	}
	if s := states["abcd"]; s.State != "rate_limited" || s.Until == nil || s.InFlight != 0 {
		t.Errorf("abcd: %+v", s)
	}
	if s := states["efgh"]; s.State != "usable" || s.Until != nil || s.InFlight != 1 {
		t.Errorf("efgh: %+v", s)
	}
}

// Of a key too short to spare four characters nothing is shown.
func TestShortKeyIsNotShown(t *testing.T) {
	t.Parallel()
	for _, s := range testKeys(0, "abc", "secret", "sk-or-v1-abcdef").list() {
		if s.End != "" {
			t.Errorf("shown of a short key: %q", s.End)
		}
	}
}
