package upstream

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"gemini-client/events"
	"gemini-client/service/openrouter"
)

// asksFor is what a call asked for.
type asksFor struct {
	Model     string   `json:"model"`
	Models    []string `json:"models"`
	MaxTokens int      `json:"max_tokens"`
}

// modelRouter reacts by the first of a call's models; "hello" where it is told
// nothing.
type modelRouter struct {
	mu   sync.Mutex
	says map[string]reaction
	seen []asksFor
}

func (m *modelRouter) tell(model string, react reaction) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.says == nil {
		m.says = map[string]reaction{}
	}
	m.says[model] = react
}

// calls returns what was asked for since the last time.
func (m *modelRouter) calls() []asksFor {
	m.mu.Lock()
	defer m.mu.Unlock()
	seen := m.seen
	m.seen = nil
	return seen
}

func (m *modelRouter) react(r *http.Request) (*http.Response, error) {
	var asked asksFor
	if body, err := io.ReadAll(r.Body); err != nil || json.Unmarshal(body, &asked) != nil {
		return nil, fmt.Errorf("body %s: %w", body, err)
	}
	m.mu.Lock()
	m.seen = append(m.seen, asked)
	react := m.says[asked.Model]
	m.mu.Unlock()
	if react == nil {
		react = ok
	}
	return react(r)
}

// askFor makes a call for a model and its fallbacks.
func (p testCaller) askFor(ctx context.Context, model string, fallbacks ...string) Reply {
	r := question()
	r.Model, r.Models = model, fallbacks
	return p.askWith(ctx, r)
}

func (p testCaller) askWith(ctx context.Context, r openrouter.Request) Reply {
	c := &call{caller: p.Caller, event: &events.Request{}, request: r, piece: ignore, start: time.Now()}
	p.do(ctx, c)
	return c.reply
}
