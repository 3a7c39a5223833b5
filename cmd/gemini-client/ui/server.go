package ui

import (
	"context"
	"embed"
	"io/fs"
	"log/slog"
	"net/http"
	"time"
)

// Options are what a person chooses.
type Options struct {
	ReadOnly bool          // nothing can be replayed
	Hosts    []string      // names under which it answers, without a port
	TraceURL string        // page of a trace, {trace_id} stands for its id; "": the id alone is shown
	Interval time.Duration // between two looks at everything
	Log      *slog.Logger
}

// Server is the pages. Make it with New; Run has to be running for the overview to
// be there.
type Server struct {
	source  Source
	options Options
	history *history
	pages   *pages
	static  http.Handler
	root    http.Handler
}

//go:embed templates static
var files embed.FS

// New returns the pages of a source. The error is a fault of the templates.
func New(source Source, o Options) (*Server, error) {
	p, err := newPages(o)
	if err != nil {
		return nil, err
	}
	folder, err := fs.Sub(files, "static")
	if err != nil {
		return nil, err
	}
	s := &Server{source: source, options: o, history: newHistory(), pages: p, static: http.FileServerFS(folder)}
	s.root = s.handler()
	return s, nil
}

// Run looks at everything again and again until ctx ends.
func (s *Server) Run(ctx context.Context) {
	tick := time.NewTicker(s.options.Interval)
	defer tick.Stop()
	for {
		s.look(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.history.close()
			return
		}
	}
}

// look takes one sample. A source that fails as a whole leaves the last one, which
// the page shows with its age.
func (s *Server) look(ctx context.Context) {
	o, err := s.source.Overview(ctx)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		s.options.Log.WarnContext(ctx, "the queues and workers could not be read", "error", err)
		s.history.failed(err)
		return
	}
	s.history.add(o)
}

// ServeHTTP answers with a page.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.root.ServeHTTP(w, r) }

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.overview)
	mux.HandleFunc("GET /live/overview", s.liveOverview)
	mux.HandleFunc("GET /requests", s.findRequest)
	mux.HandleFunc("GET /requests/{id}", s.request)
	mux.HandleFunc("GET /live/requests/{id}", s.liveRequest)
	mux.HandleFunc("GET /failures", s.failures)
	mux.HandleFunc("GET /spend", s.spend)
	mux.HandleFunc("GET /deadletters", s.deadLetters)
	mux.HandleFunc("GET /deadletters/{sequence}", s.deadLetter)
	mux.Handle("GET /static/", http.StripPrefix("/static/", s.static))
	if !s.options.ReadOnly {
		mux.HandleFunc("GET /replay", s.askReplay)
		mux.HandleFunc("POST /replay", s.replay)
	}
	mux.HandleFunc("GET /", s.nothing)
	return s.guarded(mux)
}
