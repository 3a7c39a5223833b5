package ui

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"time"
)

// requestInterval is how often an open page looks for its request.
const requestInterval = 2 * time.Second

// stream sends a part of a page again and again, as server-sent events (WHATWG
// HTML, section 9.2), until the reader leaves. Each is the whole part; what has not
// changed is not sent.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, part func(context.Context) (text []byte, next <-chan struct{}, over bool)) {
	to := http.NewResponseController(w)
	_ = to.SetWriteDeadline(time.Time{}) // it lasts
	w.Header().Set("Content-Type", "text/event-stream")
	var before []byte
	for {
		text, next, over := part(r.Context())
		if text != nil && !bytes.Equal(text, before) {
			before = text
			if sendEvent(w, text) != nil || to.Flush() != nil {
				return
			}
		}
		if over {
			return
		}
		select {
		case <-next:
		case <-r.Context().Done():
			return
		}
	}
}

// sendEvent writes one event. A line break would end a field, so each line is one.
func sendEvent(w http.ResponseWriter, text []byte) error {
	for line := range bytes.Lines(text) {
		if _, err := fmt.Fprintf(w, "data: %s\n", bytes.TrimRight(line, "\r\n")); err != nil {
			return err
		}
	}
	_, err := w.Write([]byte("\n"))
	return err
}

func (s *Server) liveOverview(w http.ResponseWriter, r *http.Request) {
	s.stream(w, r, func(context.Context) ([]byte, <-chan struct{}, bool) {
		v, next, over := s.history.now()
		text, err := s.pages.part("overview", v)
		if err != nil {
			s.options.Log.Error("a page could not be rendered", "error", err)
		}
		return text, next, over || err != nil
	})
}

func (s *Server) liveRequest(w http.ResponseWriter, r *http.Request) {
	s.stream(w, r, func(ctx context.Context) ([]byte, <-chan struct{}, bool) {
		v, err := s.requestView(ctx, r)
		if err != nil {
			return nil, nil, true
		}
		text, err := s.pages.part("request", v)
		return text, after(ctx, requestInterval), err != nil
	})
}

// after returns a channel that is closed after a time, or when ctx ends.
func after(ctx context.Context, d time.Duration) <-chan struct{} {
	ctx, cancel := context.WithTimeout(ctx, d)
	context.AfterFunc(ctx, cancel)
	return ctx.Done()
}
