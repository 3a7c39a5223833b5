package simulator

import (
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// maxBody is the largest request that is read; a larger one is a 413.
const maxBody = 64 << 20

// exchange is one chat call from its arrival to its end. One goroutine owns it.
type exchange struct {
	sim     *Simulator
	writer  http.ResponseWriter
	request *http.Request
	call    *Call

	asked     chatRequest
	problem   *refused // what is wrong with the body
	text      string   // the prompt without markers
	markers   []Fault
	markerErr error

	stage stage
	batch []string // at stageBatch, the faults that may be played

	cache   lookup      // of the response cache
	gen     *generation // what a model generated; nil if none was reached
	outcome string      // of the call, unless it is cut short
	settled bool
}

// chat serves /chat/completions.
func (s *Simulator) chat(w http.ResponseWriter, r *http.Request) {
	e := s.arrive(w, r)
	_ = s.hold(r) // a client that left meanwhile is noticed when the reply is sent
	e.play(e.plan())
}

// arrive reads the request and opens the call.
func (s *Simulator) arrive(w http.ResponseWriter, r *http.Request) *exchange {
	e := &exchange{sim: s, writer: w, request: r, outcome: OutcomeCompleted}
	var body []byte
	tooLarge := r.ContentLength > maxBody
	if !tooLarge {
		var err error
		body, err = io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
		tooLarge = err != nil
	}
	if tooLarge {
		e.problem = &refused{http.StatusRequestEntityTooLarge, "payload_too_large", "Request body is too large"}
	} else {
		e.asked, e.problem = decode(body)
	}
	prompt := e.asked.prompt()
	e.text, e.markers, e.markerErr = parseMarkers(prompt)
	e.call = &Call{
		At:     time.Now(),
		Key:    bearer(r),
		Prompt: prompt,
		Model:  e.asked.candidates()[0],
		Stream: e.asked.Stream,
		Body:   body,
		Header: r.Header.Clone(),
	}
	e.call.SessionID, e.call.User = e.asked.SessionID, e.asked.User
	e.cache = e.lookup()
	s.ledger.start(e.call)
	return e
}

// plan decides the call's reply. The order is OpenRouter's: an outage first, then the key, its limits and the body,
// and at last what only the models' providers can do wrong.
func (e *exchange) plan() reply {
	if f, ill := e.sim.serverFault(e); ill {
		return e.applyFault(f)
	}
	if refused := e.sim.authenticate(e.call.Key); refused != nil {
		return e.decline(OutcomeUnauthorized, *refused)
	}
	if e.sim.overLimit(e.call.Key) {
		e.outcome = OutcomeSpent
		return keyLimit(e, nil)
	}
	if limited, r := e.sim.limiter.check(e.call.Key, time.Now()); limited {
		e.outcome = OutcomeRateLimited
		return r
	}
	if e.problem != nil {
		return e.decline(OutcomeInvalid, *e.problem)
	}
	if e.markerErr != nil {
		return e.decline(OutcomeInvalid, refused{http.StatusBadRequest, "invalid_request", "simulator: " + oneLine(e.markerErr)})
	}
	if r, gone := e.goneFirst(); gone {
		return r
	}
	if e.recall() {
		return e.render()
	}
	if f, asked := e.sim.markerFault(e); asked {
		return e.applyFault(f)
	}
	if f, unlucky := e.sim.randomFault(e); unlucky {
		return e.applyFault(f)
	}
	return e.route(e.asked.candidates())
}

// route lets the first model answer that exists, takes the body and supports what is required.
func (e *exchange) route(models []string) reply {
	models = e.live(models)
	for i, m := range models {
		refuse := e.asked.refusedBy(m)
		if refuse != nil && i < len(models)-1 {
			continue
		}
		if refuse != nil {
			e.outcome = OutcomeInvalid
			return refuse(e, args{})
		}
		if knownAuthor(m) {
			if missing := e.asked.unsupported(); missing != "" {
				e.outcome = OutcomeInvalid
				return constraintFiltered("require_parameters", "no endpoint supports "+missing).reply(e, args{})
			}
			if e.asked.onlyFlex() && !hasFlex(m) {
				e.outcome = OutcomeInvalid
				return constraintFiltered("allowed_providers", "no endpoint is left").reply(e, args{})
			}
			e.generate(m)
			return e.render()
		}
	}
	e.outcome = OutcomeInvalid
	return modelNotFound().reply(e, args{})
}

// applyFault plays a fault, or lets the next model answer if the fault allows one.
func (e *exchange) applyFault(f Fault) reply {
	if err := f.check(); err != nil {
		return e.decline(OutcomeInvalid, refused{http.StatusBadRequest, "invalid_request", "simulator: " + oneLine(err)})
	}
	k := e.sim.kinds[f.Name]
	models := e.asked.candidates()
	if k.routed && len(models) > 1 && (k.firstModel || f.Model != "") {
		return e.route(models[1:])
	}
	e.outcome = f.Name
	e.sim.ledger.update(func(*Stats) { e.call.Fault = f.Name })
	a := f.arguments(k)
	if k.answer != nil {
		return k.answer(e, a)
	}
	e.generate(append(e.live(models), models[0])[0])
	e.gen.unbilled = k.unbilled
	if k.shape != nil {
		k.shape(e.gen, a)
	}
	r := e.render()
	if k.bend != nil {
		e.cache.kept = false
		r = k.bend(e, r, a)
	}
	return r
}

// decline answers with a plain error.
func (e *exchange) decline(outcome string, why refused) reply {
	e.outcome = outcome
	return why.reply(nil)
}

// settle closes the call, once. rest is how long its generation goes on after the client has left: Google's cannot be cancelled.
func (e *exchange) settle(outcome string, rest time.Duration) {
	if e.settled {
		return
	}
	e.settled = true
	e.sim.ledger.update(func(*Stats) {
		e.call.readyAt = time.Now().Add(rest + e.sim.config.GenerationDelay)
		if e.gen != nil {
			e.gen.bill(e.call)
			if outcome == e.outcome && e.call.Status == http.StatusOK {
				e.remember()
			}
		}
	})
	e.sim.ledger.end(e.call, outcome)
}

// newGenerationID returns an id such as gen-1777319823-GZDKDDQHDFPE5HXANYM1.
func newGenerationID(now time.Time) string {
	return fmt.Sprintf("gen-%d-%s", now.Unix(), rand.Text()[:20])
}

// oneLine joins the lines of joined errors.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
