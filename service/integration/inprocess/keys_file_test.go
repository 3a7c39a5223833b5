package inprocess_test

import (
	"os"
	"path/filepath"
	"testing"

	"gemini-client/service/config"
	"gemini-client/service/servicetest"
)

// A key is rotated by writing the file: no restart.
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys")
	write := func(keys string) {
		if err := os.WriteFile(path, []byte(keys), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(servicetest.Key + "-old")
	b := setup(t, func(c *config.Config) { c.APIKeysFile, c.APIKeys = path, []string{servicetest.Key + "-old"} })
	b.start()
	b.Result(b.Ask("with the old key", nil))
	write(servicetest.Key + "-new\n")
	b.says("was taken up")
	b.Result(b.Ask("with the new key", nil))
	calls := b.openrouter.Calls()
	if len(calls) != 2 || calls[0].Key != servicetest.Key+"-old" || calls[1].Key != servicetest.Key+"-new" {
		t.Errorf("calls: %d", len(calls))
		for _, call := range calls {
			t.Logf("…%s", call.Key[len(call.Key)-4:])
		}
	}
}
