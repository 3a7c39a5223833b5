package openrouter_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"gemini-client/service/openrouter"
)

// A call that is abandoned while it waits for room, and then fails, gives back no room
// that it did not get.
func TestAbandonedWaitTakesNoRoom(t *testing.T) {
	t.Parallel()
	long := `data: {"choices":[{"index":0,"delta":{"content":"` + strings.Repeat("x", 40<<10) + `"}}]}` + "\n\n"
	server := newServer(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, long+`data: {"error":{"code":502,"message":"no"},"choices":[]}`+"\n\n")
	})
	client := newClient(t, openrouter.Config{BaseURL: at(server.URL)})
	for range 100 {
		var taken, back atomic.Int64
		waits := make(chan struct{}, 1)
		ctx := openrouter.WithRoom(t.Context(), func(ctx context.Context, bytes int) error {
			if bytes < 0 {
				back.Add(int64(-bytes))
				return nil
			}
			select {
			case waits <- struct{}{}:
				<-ctx.Done()
			default:
			}
			if ctx.Err() == nil {
				taken.Add(int64(bytes))
			}
			return ctx.Err()
		})
		ctx, abandonment := openrouter.WithAbandonment(ctx)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = client.Complete(ctx, testKey, new(hello()), nil)
		}()
		<-waits
		waits <- struct{}{}
		abandonment.Abandon()
		<-ended
		if back.Load() > taken.Load() {
			t.Fatalf("took %d, gave back %d", taken.Load(), back.Load())
		}
	}
}
