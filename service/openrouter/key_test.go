package openrouter_test

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gemini-client/service/openrouter"
)

func TestKey(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		body string
		want openrouter.KeyInfo
	}{
		"no limit":   {`{"data":{"label":"sk-or-v1-au7...890","limit":null,"limit_remaining":null,"limit_reset":null,"usage":1.25,"expires_at":null,"rate_limit":{}}}`, openrouter.KeyInfo{Usage: 1.25}},
		"everything": {`{"data":{"limit":10,"limit_remaining":-0.25,"limit_reset":"monthly","usage":10.25,"expires_at":"2026-12-01T02:00:00+02:00"}}`, openrouter.KeyInfo{Limit: new(10.0), Remaining: new(-0.25), Reset: "monthly", Usage: 10.25, ExpiresAt: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)}},
		"odd fields": {`{"data":{"limit":{},"limit_remaining":"7","limit_reset":5,"usage":[],"expires_at":"soon"}}`, openrouter.KeyInfo{Remaining: new(7.0)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked string
			server := newServer(t, func(w http.ResponseWriter, r *http.Request) {
				asked = r.Method + " " + r.RequestURI + " " + r.Header.Get("Authorization")
				_, _ = io.WriteString(w, tt.body)
			})
			got, err := newClient(t, openrouter.Config{BaseURL: at(server.URL + "/api/v1")}).Key(t.Context(), testKey)
			if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
				t.Errorf("error %v (-want +got):\n%s", err, diff)
			}
			if want := "GET /api/v1/key Bearer " + testKey; asked != want {
				t.Errorf("asked %q, want %q", asked, want)
			}
		})
	}
}

// TestPrice reads the catalogue's prices, of which some are no prices.
func TestPrice(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]openrouter.Price{
		`"0.0000003"`: 0.0000003, `0.5`: 0.5, `"0"`: 0, `"-1"`: 0, `null`: 0, `"dear"`: 0, `"NaN"`: 0, `"Inf"`: 0, `{}`: 0,
	} {
		server := newServer(t, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"data":{"id":"a/b","pricing":{"prompt":`+raw+`}}}`)
		})
		info, err := newClient(t, openrouter.Config{BaseURL: at(server.URL)}).Model(t.Context(), testKey, "a/b")
		if err != nil || info.Pricing.Prompt != want || info.ID != "a/b" {
			t.Errorf("%s: got %+v, %v, want %v", raw, info, err, want)
		}
	}
}
