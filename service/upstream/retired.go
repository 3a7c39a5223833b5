package upstream

import (
	"context"
	"strings"
	"sync"
	"time"

	"gemini-client/telemetry"
)

// retiredFor is for how long a model that OpenRouter says is gone is left alone. Then
// one call looks whether it is back.
const retiredFor = time.Hour

// retired knows the models that OpenRouter says are gone, and those that are in doubt:
// another model of the list that was sent answered for them, which may be a moment's
// trouble or the end. A call asks a model in doubt alone, once in retiredFor, to know.
//
// Whether a model is back is found out by a request and not in the catalogue, which
// lists models that this account cannot call. A refusal costs nothing, and the
// request goes on with the next model.
type retired struct {
	tel *telemetry.Telemetry

	mu  sync.Mutex
	all map[string]*retirement
}

type retirement struct {
	gone  *Error    // what OpenRouter said; nil of a model in doubt
	since time.Time // of gone
	look  time.Time // when a call asks it alone
	by    *call     // that does
	asks  *call     // that asks other keys whether it is gone for them too; nil if that is known
	keys  []*apiKey // that were told so

	doubted *apiKey   // with which another model answered last
	used    time.Time // when it was last asked for
	alone   time.Time // no list is sent with it before
}

func newRetired(tel *telemetry.Telemetry) *retired {
	return &retired{tel: tel, all: map[string]*retirement{}}
}

// pastExpiration reports whether the day is over on which OpenRouter said it would
// stop offering a model.
func (u *Caller) pastExpiration(model string) bool { return u.listed.expired(model, time.Now()) }

// standing returns why a model is left alone by a call; nil if it may be asked. The
// error says nothing about anybody's health: no call was made.
func (r *retired) standing(name string, c *call) *Error {
	r.mu.Lock()
	defer r.mu.Unlock()
	one := r.all[name]
	if one == nil {
		return nil
	}
	one.used = time.Now()
	if one.gone == nil || c.looks == name || r.due(one) {
		return nil
	}
	e := *one.gone
	e.health = healthUnknown
	return &e
}

// due reports whether a call should ask a model alone. The caller holds the lock.
func (*retired) due(one *retirement) bool { return one.by == nil && !time.Now().Before(one.look) }

// lookAt has a call ask a model alone, if one should; it ends with looked.
func (r *retired) lookAt(name string, c *call) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	one := r.all[name]
	if one == nil || !r.due(one) {
		return false
	}
	one.by = c
	return true
}

// looked ends a look. The next is in retiredFor if it showed how the model is.
func (r *retired) looked(name string, c *call, shown bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	one := r.all[name]
	if one == nil || one.by != c {
		return
	}
	one.by = nil
	if shown {
		one.look = time.Now().Add(retiredFor)
	}
}

// retire leaves a model alone from now on. It says so once: what OpenRouter said of
// it, in the words that the request's error has, and who answers instead.
func (r *retired) retire(ctx context.Context, name, instead string, e *Error, c *call) {
	r.mu.Lock()
	one := r.entry(name)
	if one.asks != nil && one.asks != c {
		r.mu.Unlock()
		return // that call finds it out
	}
	known := one.gone != nil && one.asks == nil
	one.gone, one.asks = e, nil
	if !known {
		one.since, one.keys = time.Now(), c.without
	}
	if !known || r.due(one) { // it was named in a list
		one.look = time.Now().Add(retiredFor)
	}
	r.mu.Unlock()
	if known {
		return
	}
	line := "a model is gone, as OpenRouter says: its requests ask the next model"
	if instead == "" {
		line, instead = "a model is gone, as OpenRouter says, and no other model may answer", "none"
	}
	r.tel.Logger.WarnContext(ctx, line,
		"model", name, "said", e.Message, "answers_instead", instead, "looked_at_again_in", retiredFor,
		"way_out", "set OPENROUTER_MODEL or OPENROUTER_FALLBACK_MODELS to another model, or have backends name another one")
}

// doubt notes that another model answered for one. The next call asks it alone, with the
// same key: it may be that key's account alone that does not reach it.
func (r *retired) doubt(name string, key *apiKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entry(name).doubted = key
}

// sendNoList has a model be asked without a list for retiredFor: OpenRouter refuses the
// list, and does not say for which of its models. The service asks the others itself.
func (r *retired) sendNoList(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	one := r.entry(name)
	if one.alone = time.Now().Add(retiredFor); one.look.Before(one.alone) {
		one.look = one.alone // it is not in doubt
	}
}

func (r *retired) sentAlone(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	one := r.all[name]
	return one != nil && time.Now().Before(one.alone)
}

// answered notes that a model has answered a call itself. One that began before the
// model was retired does not show that it is back.
func (r *retired) answered(ctx context.Context, name string, began time.Time) {
	r.mu.Lock()
	one := r.all[name]
	back := one != nil && one.gone != nil && began.After(one.since)
	told := back && one.asks == nil // else another key is asked, and nobody knows of it
	if back {
		delete(r.all, name)
	}
	r.mu.Unlock()
	if told {
		r.tel.Logger.InfoContext(ctx, "a model that was gone answers again", "model", name, "was_gone_for", rounded(time.Since(one.since)))
	}
}

// entry returns what is known of a model. Requesters name the models: where too many
// are known it forgets the one that was not asked for the longest. The caller holds
// the lock.
func (r *retired) entry(name string) *retirement {
	one := r.all[name]
	if one == nil {
		if len(r.all) >= maxModels {
			delete(r.all, r.least())
		}
		one = &retirement{}
		r.all[name] = one
	}
	one.used = time.Now()
	return one
}

func (r *retired) least() (name string) {
	for other, one := range r.all {
		if least := r.all[name]; least == nil || one.used.Before(least.used) {
			name = other
		}
	}
	return name
}

// list returns the models that are gone, and when each is looked at again.
func (r *retired) list() map[string]time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := map[string]time.Time{}
	for name, one := range r.all {
		if one.gone != nil && one.asks == nil {
			list[name] = one.look
		}
	}
	return list
}

// stateRetired is the state of a model that is gone, for people.
const stateRetired = "retired"

// nothingLeft is the error of a call whose models are all gone or away.
func (u *Caller) nothingLeft(c *call) *Error {
	var said strings.Builder
	for _, name := range c.models() {
		e := c.passed[name]
		if e == nil {
			e = u.retired.standing(name, c)
		}
		switch {
		case e == nil:
			continue
		case e.Heals != Never:
			return e
		}
		said.WriteString(name + ": " + sentence(shortened(e.Message)) + " ")
	}
	wayOut := "Name another model, or others in openrouter.models"
	if c.constrained() {
		wayOut += ", or ask for less in openrouter.provider or the preset: its rules may be what leaves none"
	}
	e := newError(kindNoModel, 0)
	e.say("", said.String()+wayOut)
	return e
}

// shortened leaves room for what was said of other models.
func shortened(text string) string {
	const most = 200
	if len(text) <= most {
		return text
	}
	cut := []rune(text[:most])
	return string(cut[:len(cut)-1]) + "…"
}
