package openrouter_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"gemini-client/service/openrouter"
)

// An abandoned call calls nobody any more, keeps nothing, and ends with what it cost.
func TestAbandon(t *testing.T) {
	t.Parallel()
	usage := `data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3,"cost":0.5}}` + "\n\ndata: [DONE]\n\n"
	long := `data: {"provider":"Google","choices":[{"index":0,"delta":{"content":"` + strings.Repeat("x", 100<<10) + `"}}]}` + "\n\n"
	tests := map[string]struct {
		rest string
		kind openrouter.Kind // "" for a completion
	}{
		"to its end":      {strings.Repeat(long, 300) + usage, ""}, // beyond MaxAnswerBytes
		"a usage alone":   {usage, ""},
		"too long a line": {"data: " + strings.Repeat("x", 1<<20) + "\n\n" + usage, openrouter.KindTooLarge},
		"cut":             {long, openrouter.KindCut},
		"an error":        {`data: {"error":{"code":502,"message":"no"},"choices":[]}` + "\n\n", openrouter.KindStatus},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			goOn := make(chan struct{})
			server := newServer(t, func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, long)
				_ = http.NewResponseController(w).Flush()
				<-goOn
				_, _ = io.WriteString(w, tt.rest)
			})
			client := newClient(t, openrouter.Config{BaseURL: at(server.URL)})
			asked, seen := 0, 0
			ctx := openrouter.WithRoom(t.Context(), func(ctx context.Context, _ int) error {
				asked++
				if seen == 1 { // it is abandoned while it waits
					<-ctx.Done()
				}
				return ctx.Err()
			})
			ctx, abandonment := openrouter.WithAbandonment(ctx)
			began := make(chan struct{})
			type end struct {
				done *openrouter.Completion
				err  error
			}
			ended := make(chan end, 1)
			go func() {
				done, err := client.Complete(ctx, testKey, new(hello()), func(string) {
					if seen++; seen == 1 {
						close(began)
					}
				})
				ended <- end{done, err}
			}()
			<-began
			abandonment.Abandon()
			if abandonment.Provider() != "Google" {
				t.Errorf("provider: %q", abandonment.Provider())
			}
			before := asked
			close(goOn) // only then the call goes on
			got := <-ended
			if asked != before || seen != 1 || tt.kind == "" && got.done.Content != "" {
				t.Errorf("room was asked for %d times more, %d pieces came, this was kept: %+v", asked-before, seen, got.done)
			}
			if tt.kind == "" && (got.err != nil || got.done.Usage == nil || *got.done.Usage.Cost != 0.5) {
				t.Errorf("got %+v, %v", got.done.Usage, got.err)
			}
			if tt.kind != "" && asError(t, got.err).Kind != tt.kind {
				t.Errorf("got %v, want %s", got.err, tt.kind)
			}
		})
	}
}

// A call that is abandoned before there is a response is so from its first chunk on.
func TestAbandonBeforeTheResponse(t *testing.T) {
	t.Parallel()
	server := newServer(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, testdata(t, "text.sse")) })
	client := newClient(t, openrouter.Config{BaseURL: at(server.URL)})
	ctx, abandonment := openrouter.WithAbandonment(t.Context())
	abandonment.Abandon()
	done, err := client.Complete(ctx, testKey, new(hello()), func(string) { t.Error("a piece came") })
	if err != nil || done.Content != "" || done.Usage == nil {
		t.Errorf("got %+v, %v", done, err)
	}
}
