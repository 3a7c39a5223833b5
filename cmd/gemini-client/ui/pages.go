package ui

import (
	"bytes"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// pages are the templates. Each page is the layout around a part of its own.
type pages struct {
	options Options
	parts   map[string]*template.Template
}

// page is what the layout shows around a part.
type page struct {
	Title    string
	Live     string // where the part comes from while the page is open; "": it does not change
	ReadOnly bool
	Part     template.HTML
}

func newPages(o Options) (*pages, error) {
	p := &pages{options: o, parts: map[string]*template.Template{}}
	for _, name := range []string{"layout", "overview", "request", "failures", "spend", "deadletters", "deadletter", "replay", "replayed", "message"} {
		t, err := template.New(name+".html").Funcs(p.functions()).ParseFS(files, "templates/"+name+".html")
		if err != nil {
			return nil, err
		}
		p.parts[name] = t
	}
	return p, nil
}

func (p *pages) functions() template.FuncMap {
	return template.FuncMap{
		"ago":          func(t time.Time) string { return humanize.Time(t) },
		"clock":        func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") },
		"comma":        func(n uint64) string { return humanize.Comma(int64(min(n, 1<<62))) },
		"usd":          dollars,
		"milliseconds": func(v *float64) string { return fmt.Sprintf("%.0f ms", *v) }, // in a with, so never of nil
		"cost":         func(v float64) string { return dollars(&v) },
		"trace":        func(id string) string { return strings.ReplaceAll(p.options.TraceURL, "{trace_id}", id) },
		"acts":         func() bool { return !p.options.ReadOnly },
		"text": func(s *string) string {
			if s == nil {
				return ""
			}
			return *s
		},
	}
}

// dollars is an amount for people; what is not known is a dash.
func dollars(v *float64) string {
	if v == nil {
		return "–"
	}
	return fmt.Sprintf("$%.4f", *v)
}

// part renders a part alone.
func (p *pages) part(name string, data any) ([]byte, error) {
	var b bytes.Buffer
	err := p.parts[name].Execute(&b, data)
	return b.Bytes(), err
}

// show answers with a page.
func (s *Server) show(w http.ResponseWriter, r *http.Request, status int, name string, to page, data any) {
	part, err := s.pages.part(name, data)
	if err == nil {
		to.Part, to.ReadOnly = template.HTML(part), s.options.ReadOnly //nolint:gosec // it was rendered by html/template
		var whole []byte
		if whole, err = s.pages.part("layout", to); err == nil {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.WriteHeader(status)
			_, _ = w.Write(whole)
			return
		}
	}
	s.options.Log.ErrorContext(r.Context(), "a page could not be rendered", "error", err)
	http.Error(w, "This page could not be rendered; the log says why.", http.StatusInternalServerError)
}

// tell answers with a sentence.
func (s *Server) tell(w http.ResponseWriter, r *http.Request, status int, title, sentence string) {
	s.show(w, r, status, "message", page{Title: title}, sentence)
}

// unavailable answers that the source failed.
func (s *Server) unavailable(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return // the reader has left
	}
	s.options.Log.WarnContext(r.Context(), "a page could not be read", "path", r.URL.Path, "error", err)
	s.tell(w, r, http.StatusBadGateway, "Not to be seen", err.Error())
}

func (s *Server) nothing(w http.ResponseWriter, r *http.Request) {
	s.tell(w, r, http.StatusNotFound, "No such page", "There is no page at this address.")
}
