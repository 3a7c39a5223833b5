package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gemini-client/service/config"
)

// What saves money is off until somebody asks for it.
func TestSavingIsOff(t *testing.T) {
	c := load(t)
	if c.Cache.Seconds() != 0 || c.Cache.String() != "off" || c.Trace || len(c.Rules(0).Tiers) != 0 {
		t.Errorf("cache %s, trace %v, tiers %q", c.Cache, c.Trace, c.Rules(0).Tiers)
	}
}

func TestResponseCacheSetting(t *testing.T) {
	for text, want := range map[string]int{"1h": 3600, "1s": 1, "24h": 86400, "off": 0, "OFF": 0, "0": 0} {
		t.Setenv("OPENROUTER_CACHE", text)
		if c, _, err := config.Load("", ""); err != nil || c.Cache.Seconds() != want {
			t.Errorf("OPENROUTER_CACHE=%s: got %d s, %v; want %d", text, c.Cache.Seconds(), err, want)
		}
	}
	for _, text := range []string{"on", "true", "0s", "1500ms", "25h", "-1h", "3600"} {
		t.Setenv("OPENROUTER_CACHE", text)
		if c, _, err := config.Load("", ""); !errors.Is(err, config.ErrInvalid) || !strings.Contains(err.Error(), "OPENROUTER_CACHE="+text+": want whole seconds with a unit, 1s to 24h, or off") {
			t.Errorf("OPENROUTER_CACHE=%s: got %s, %v", text, c.Cache, err)
		}
	}
}

func TestSavingFromAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte("openrouter_cache: 5m\nprice_tiers_allow: [flex]\nopenrouter_trace: true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, _, err := config.Load(path, "")
	if err != nil || c.Cache.Seconds() != 300 || !c.Trace || len(c.Rules(0).Tiers) != 1 {
		t.Errorf("cache %s, trace %v, tiers %q, %v", c.Cache, c.Trace, c.Rules(0).Tiers, err)
	}
	if err := os.WriteFile(path, []byte("openrouter_cache: off\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, _, err := config.Load(path, ""); err != nil || c.Cache.Seconds() != 0 {
		t.Errorf("off in a file: cache %s, %v", c.Cache, err)
	}
}

// A tier in other letters would match no request.
func TestTiersAreLowerCase(t *testing.T) {
	t.Setenv("PRICE_TIERS_ALLOW", "flex,Priority")
	_, _, err := config.Load("", "")
	if !errors.Is(err, config.ErrInvalid) || !strings.Contains(err.Error(), `PRICE_TIERS_ALLOW: "Priority" is in no request: write priority`) {
		t.Errorf("got %v", err)
	}
}
