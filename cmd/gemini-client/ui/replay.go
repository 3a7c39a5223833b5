package ui

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
)

// replayMost is how many dead letters a page replays at once; for more there is the
// command.
const replayMost = 1000

// sequences reads which dead letters were chosen.
func sequences(r *http.Request) (list []uint64, err error) {
	if err := r.ParseForm(); err != nil {
		return nil, fmt.Errorf("the form cannot be read: %w", err)
	}
	for _, text := range r.Form["sequence"] {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil || n == 0 {
			return nil, fmt.Errorf("%q is no dead letter's number", text)
		}
		list = append(list, n)
	}
	switch {
	case len(list) == 0:
		return nil, errors.New("no dead letter was chosen")
	case len(list) > replayMost:
		return nil, fmt.Errorf("%d dead letters were chosen, at most %d are replayed here: use gemini-client deadletters replay", len(list), replayMost)
	}
	return list, nil
}

// askReplay asks a second time: a replay calls OpenRouter, and costs money.
func (s *Server) askReplay(w http.ResponseWriter, r *http.Request) {
	list, err := sequences(r)
	if err != nil {
		s.tell(w, r, http.StatusBadRequest, "Nothing to replay", err.Error())
		return
	}
	s.show(w, r, http.StatusOK, "replay", page{Title: "Replay?"}, list)
}

func (s *Server) replay(w http.ResponseWriter, r *http.Request) {
	list, err := sequences(r)
	if err != nil || r.PostFormValue("confirmed") != "yes" {
		s.tell(w, r, http.StatusBadRequest, "Nothing was replayed", fmt.Sprint("The replay was not confirmed. ", errText(err)))
		return
	}
	outcomes, err := s.source.Replay(r.Context(), list)
	if err != nil {
		s.unavailable(w, r, err)
		return
	}
	s.options.Log.InfoContext(r.Context(), "dead letters were replayed", "count", len(list))
	s.show(w, r, http.StatusOK, "replayed", page{Title: "Replayed"}, outcomes)
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
