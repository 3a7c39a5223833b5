package openrouter_test

import (
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gemini-client/service/openrouter"
)

func TestModel(t *testing.T) {
	t.Parallel()
	var asked string
	server := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r.Method + " " + r.RequestURI + " " + r.Header.Get("Authorization")
		_, _ = io.WriteString(w, `{"data":{"id":"google/gemini-2.5-flash","canonical_slug":"google/gemini-2.5-flash","context_length":1048576,"expiration_date":"2026-10-16","pricing":{}}}`)
	})
	client := newClient(t, openrouter.Config{BaseURL: at(server.URL + "/api/v1")})
	got, err := client.Model(t.Context(), testKey, "~google/gemini 2.5?:free")
	want := openrouter.ModelInfo{ID: "google/gemini-2.5-flash", CanonicalSlug: "google/gemini-2.5-flash", ContextLength: 1048576, ExpirationDate: "2026-10-16"}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
	if want := "GET /api/v1/model/~google/gemini%202.5%3F:free Bearer " + testKey; asked != want {
		t.Errorf("asked %q, want %q", asked, want)
	}
	for _, slug := range []string{"", "google/", "../../key", "a//b"} {
		if _, err := client.Model(t.Context(), testKey, slug); asError(t, err).Kind != openrouter.KindRequest {
			t.Errorf("slug %q: got %v", slug, err)
		}
	}
}

func TestLookupFailures(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reply  reply
		kind   openrouter.Kind
		status int
	}{
		"no such model":  {reply{status: 404, steps: text(`{"error":{"code":404,"message":"Model not found"}}`).steps}, openrouter.KindStatus, 404},
		"bad key":        {reply{status: 401, steps: text(testdata(t, "error_401_user_not_found.json")).steps}, openrouter.KindStatus, 401},
		"error in a 200": {text(testdata(t, "error_401_user_not_found.json")), openrouter.KindStatus, 401},
		"HTML":           {text("<html>"), openrouter.KindMalformed, 200},
		"nothing":        {text(""), openrouter.KindMalformed, 200},
		"data null":      {text(`{"data":null}`), openrouter.KindMalformed, 200},
		"cut":            {reply{steps: []step{{data: "{"}, {err: io.ErrUnexpectedEOF}}}, openrouter.KindCut, 0},
		"far too much":   {text(`{"data":"` + strings.Repeat("x", 1<<20) + `"}`), openrouter.KindTooLarge, 200},
		"connection":     {reply{status: -1}, openrouter.KindConnection, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			transport := tt.reply.transport(t)
			if tt.reply.status < 0 {
				transport = func(*http.Request) (*http.Response, error) { return nil, syscall.ECONNRESET }
			}
			client := newClient(t, openrouter.Config{Transport: transport})
			_, err := client.Model(t.Context(), testKey, "a/b")
			if e := asError(t, err); e.Kind != tt.kind || e.Status != tt.status {
				t.Errorf("got %+v, want %s, status %d", e, tt.kind, tt.status)
			}
		})
	}
}
