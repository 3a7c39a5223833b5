package simulator

import (
	"net/http"
	"slices"
)

// Retirement is how OpenRouter says that a model is gone.
type Retirement int

// The ways to say it. All but RetiredSilently are the answer whatever else stands in
// models; no stored answer shows what OpenRouter does with such a list.
const (
	RetiredNoEndpoints        Retirement = iota + 1 // 404 "No endpoints found for <slug>."
	RetiredUnknown                                  // 400 "<slug> is not a valid model ID", and it has left the catalogue
	RetiredDeprecated                               // 404 with error.availability: model_deprecated
	RetiredDeprecatedMetadata                       // the same in error.metadata.availability
	RetiredSilently                                 // the next of models answers; alone, as RetiredNoEndpoints
)

// Retire takes a model away, from the next call on: calls that have been planned are
// answered. A name is taken as it is asked for, with its suffix.
func (s *Simulator) Retire(model string, how Retirement) {
	s.control.mu.Lock()
	defer s.control.mu.Unlock()
	if s.control.retired == nil {
		s.control.retired = map[string]Retirement{}
	}
	s.control.retired[model] = how
}

// Restore brings a retired model back.
func (s *Simulator) Restore(model string) {
	s.control.mu.Lock()
	defer s.control.mu.Unlock()
	delete(s.control.retired, model)
}

// retirement returns how a model was retired; 0 if it was not.
func (s *Simulator) retirement(model string) Retirement {
	s.control.mu.Lock()
	defer s.control.mu.Unlock()
	return s.control.retired[model]
}

// goneFirst refuses a call whose first model is retired, unless the next of several
// takes its place; false if there is nothing to refuse.
func (e *exchange) goneFirst() (reply, bool) {
	models := e.asked.candidates()
	how := e.sim.retirement(models[0])
	if how == 0 || how == RetiredSilently && len(e.live(models)) > 0 {
		return reply{}, false
	}
	if how == RetiredSilently {
		return e.gone(models[len(models)-1], how), true // the error of the last one is returned
	}
	return e.gone(models[0], how), true
}

// live are the models that are not retired.
func (e *exchange) live(models []string) []string {
	return slices.DeleteFunc(slices.Clone(models), func(m string) bool { return e.sim.retirement(m) != 0 })
}

// gone refuses a call for a retired model.
func (e *exchange) gone(model string, how Retirement) reply {
	e.outcome = OutcomeInvalid
	switch how {
	case RetiredUnknown:
		return errorReply(http.StatusBadRequest, apiError{Code: http.StatusBadRequest, Message: model + " is not a valid model ID"}, nil)
	case RetiredDeprecated, RetiredDeprecatedMetadata:
		u := unavailabilities()[slices.IndexFunc(unavailabilities(), func(u unavailable) bool { return u.code == "model_deprecated" })]
		problem := u.problem(e, args{})
		if how == RetiredDeprecatedMetadata {
			problem.Metadata, problem.Availability = map[string]any{"availability": problem.Availability}, nil
		}
		return errorReply(u.status, problem, nil)
	case RetiredNoEndpoints, RetiredSilently:
	}
	return errorReply(http.StatusNotFound, apiError{Code: http.StatusNotFound, Message: "No endpoints found for " + model + "."}, nil)
}
