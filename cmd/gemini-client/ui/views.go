package ui

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"gemini-client/events"
)

// listed is how many failures or dead letters a page shows.
const listed = 100

func (s *Server) overview(w http.ResponseWriter, r *http.Request) {
	v, _, _ := s.history.now()
	s.show(w, r, http.StatusOK, "overview", page{Title: "Overview", Live: "/live/overview"}, v)
}

// findRequest leads from the search field to the request's page.
func (s *Server) findRequest(w http.ResponseWriter, r *http.Request) {
	id := strings.TrimSpace(r.FormValue("id"))
	if !events.ValidID(id) {
		s.tell(w, r, http.StatusBadRequest, "No such request", fmt.Sprintf("%q is no request_id: want a UUID such as 0190f5a1-7c3e-7b1a-9a55-2f6e1c0d4b3a.", id))
		return
	}
	to := "/requests/" + events.CanonicalID(id)
	if tenant := r.FormValue("tenant"); tenant != "" {
		to += "?tenant=" + url.QueryEscape(tenant)
	}
	http.Redirect(w, r, to, http.StatusSeeOther) //nolint:gosec // to a page of this server: the id is a UUID, the tenant is escaped
}

// requestView is what the page of a request shows.
type requestView struct {
	Request
	Shown bool   // the answer is shown
	Here  string // this page's address, without what it shows
}

func (s *Server) requestView(ctx context.Context, r *http.Request) (requestView, error) {
	id, tenant := r.PathValue("id"), r.FormValue("tenant")
	if !events.ValidID(id) || tenant != "" && !events.ValidTenant(tenant) {
		return requestView{}, ErrNotFound
	}
	found, err := s.source.Request(ctx, events.CanonicalID(id), tenant)
	v := requestView{Request: found, Shown: r.FormValue("answer") == "show", Here: "/requests/" + events.CanonicalID(id)}
	if tenant != "" {
		v.Here += "?tenant=" + url.QueryEscape(tenant)
	}
	return v, err
}

func (s *Server) request(w http.ResponseWriter, r *http.Request) {
	v, err := s.requestView(r.Context(), r)
	switch {
	case errors.Is(err, ErrNotFound):
		s.nothing(w, r)
	case err != nil:
		s.unavailable(w, r, err)
	default:
		live := "/live/requests/" + v.ID + "?" + r.URL.RawQuery
		s.show(w, r, http.StatusOK, "request", page{Title: "Request " + v.ID, Live: live}, v)
	}
}

// list is what a page with a filter shows.
type list[T any] struct {
	Filter
	Ago   string // the filter's time, as it was written
	Codes []events.Code
	Items []T
}

func (s *Server) failures(w http.ResponseWriter, r *http.Request) {
	serveList(s, w, r, "failures", "Failed results", s.source.Failures)
}

func (s *Server) deadLetters(w http.ResponseWriter, r *http.Request) {
	serveList(s, w, r, "deadletters", "Dead letters", s.source.DeadLetters)
}

func serveList[T any](s *Server, w http.ResponseWriter, r *http.Request, name, title string, read func(context.Context, Filter) ([]T, error)) {
	f, err := filter(r, time.Now())
	if err != nil {
		s.tell(w, r, http.StatusBadRequest, title, err.Error())
		return
	}
	items, err := read(r.Context(), f)
	if err != nil {
		s.unavailable(w, r, err)
		return
	}
	s.show(w, r, http.StatusOK, name, page{Title: title}, list[T]{f, r.FormValue("since"), events.Codes(), items})
}

// filter reads what is asked for. The error names every field that is wrong.
func filter(r *http.Request, now time.Time) (Filter, error) {
	f := Filter{Code: events.Code(r.FormValue("code")), Tenant: r.FormValue("tenant"), Limit: listed}
	var errs []error
	if f.Code != "" && !known(f.Code) {
		errs = append(errs, fmt.Errorf("code %q: there is no such failure code", f.Code))
	}
	if f.Tenant != "" && !events.ValidTenant(f.Tenant) {
		errs = append(errs, fmt.Errorf("tenant %q: want 1 to 64 characters of A-Z, a-z, 0-9, _ and -", f.Tenant))
	}
	if id := strings.TrimSpace(r.FormValue("id")); id != "" {
		f.ID = events.CanonicalID(id)
		if !events.ValidID(id) {
			errs = append(errs, fmt.Errorf("request_id %q: want a UUID", id))
		}
	}
	if text := r.FormValue("since"); text != "" {
		ago, err := time.ParseDuration(text)
		if err != nil || ago <= 0 {
			errs = append(errs, fmt.Errorf("since %q: want a duration such as 2h", text))
		}
		f.Since = now.Add(-ago)
	}
	return f, errors.Join(errs...)
}

func known(code events.Code) bool {
	return slices.Contains(events.Codes(), code)
}

// deadLetterView is what the page of a dead letter shows.
type deadLetterView struct {
	DeadLetterDetail
	Shown bool // its body, and with it the prompt
}

func (s *Server) deadLetter(w http.ResponseWriter, r *http.Request) {
	sequence, err := strconv.ParseUint(r.PathValue("sequence"), 10, 64)
	if err != nil {
		s.nothing(w, r)
		return
	}
	d, err := s.source.DeadLetter(r.Context(), sequence)
	switch {
	case errors.Is(err, ErrNotFound):
		s.tell(w, r, http.StatusNotFound, "No such dead letter", fmt.Sprintf("There is no dead letter %d: it was replayed or purged, or it has gone with its time.", sequence))
	case err != nil:
		s.unavailable(w, r, err)
	default:
		s.show(w, r, http.StatusOK, "deadletter", page{Title: fmt.Sprintf("Dead letter %d", sequence)}, deadLetterView{d, r.FormValue("body") == "show"})
	}
}

// spendTimes are those for which a page sums results, and how they are called.
func spendTimes() []spendTime {
	return []spendTime{{"1h", "the last hour", time.Hour}, {"24h", "the last day", 24 * time.Hour}, {"168h", "the last week", 7 * 24 * time.Hour}}
}

type spendTime struct {
	Value, Name string
	ago         time.Duration
}

// spendView is what the page of the spending shows.
type spendView struct {
	Spend
	Times  []spendTime
	Chosen string
	Tables []spendTable
}

type spendTable struct {
	Name string
	Rows []SpendRow
}

func (s *Server) spend(w http.ResponseWriter, r *http.Request) {
	v := spendView{Times: spendTimes(), Chosen: cmp.Or(r.FormValue("since"), "24h")}
	chosen := slices.IndexFunc(v.Times, func(t spendTime) bool { return t.Value == v.Chosen })
	if chosen < 0 {
		s.tell(w, r, http.StatusBadRequest, "Spending", fmt.Sprintf("since %q: want 1h, 24h or 168h; gemini-client usage --since takes any time.", v.Chosen))
		return
	}
	var err error
	if v.Spend, err = s.source.Spend(r.Context(), v.Times[chosen].ago); err != nil {
		s.unavailable(w, r, err)
		return
	}
	v.Tables = []spendTable{{"Model", v.ByModel}, {"Tenant", v.ByTenant}, {"API key", v.ByKey}}
	s.show(w, r, http.StatusOK, "spend", page{Title: "Spending"}, v)
}
