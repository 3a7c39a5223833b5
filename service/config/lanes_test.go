package config_test

import (
	"testing"

	"gemini-client/service/config"
)

func TestLanes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]config.Lanes{
		"interactive:8,batch:1": {8, 1}, " batch: 3 , interactive:1000": {1000, 3},
	} {
		var got config.Lanes
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q is %v, %v", text, got, err)
		}
		var again config.Lanes
		if err := again.UnmarshalText([]byte(got.String())); err != nil || again != got {
			t.Errorf("%v is read as %v, %v", got, again, err)
		}
	}
	for _, text := range []string{"", "interactive:8", "batch:1", "interactive:8,batch:0", "interactive:8,batch:1001", "interactive:8,batch:1,batch:2", "interactive:8,slow:1", "8,1", "interactive=8,batch=1"} {
		got := config.Lanes{5, 5}
		if err := got.UnmarshalText([]byte(text)); err == nil || got != (config.Lanes{5, 5}) {
			t.Errorf("%q is %v, %v, want an error and nothing changed", text, got, err)
		}
	}
}
