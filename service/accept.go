package service

import (
	"context"
	"maps"
	"strings"

	"gemini-client/events"
)

// accept is the door of the handler. Only an operator may say that a request is
// a replay, and only on the retries: a requester's header is dropped here, lest
// it come back from a wait as if it were an operator's.
func (h *handler) accept(ctx context.Context, d delivery) report {
	if d.Stream != h.config.Names().RetriesStream() {
		d.Header = withoutReplay(d.Header)
	}
	return h.handle(ctx, d)
}

// withoutReplay copies headers without the replay's, in any spelling.
func withoutReplay(h events.Header) events.Header {
	kept := maps.Clone(h)
	maps.DeleteFunc(kept, func(name string, _ []string) bool { return strings.EqualFold(name, events.HeaderReplay) })
	return kept
}
