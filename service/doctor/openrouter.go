package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"gemini-client/service/bus"
	"gemini-client/service/upstream"
)

const (
	// openRouterTime bounds each question to OpenRouter.
	openRouterTime = 10 * time.Second
	// keysAtOnce is how many keys are asked about at the same time.
	keysAtOnce = 8
	// nearlySpent is the part of a key's limit below which there is a warning.
	nearlySpent = 0.05
)

// The checks of OpenRouter, by name.
const (
	nameProxy   = "proxy"
	nameBaseURL = "base URL"
	nameKeys    = "keys"
	nameModels  = "models"
)

const newKey = "make a new key (https://openrouter.ai/settings/keys), write it into OPENROUTER_API_KEYS_FILE, then take this one out"

func (d *doctor) openRouter(ctx context.Context, c *column) {
	names := []string{nameProxy, nameBaseURL, nameKeys, nameModels}
	if d.Invalid != nil {
		c.skipAll(invalidText, names...)
		return
	}
	if d.As != bus.RoleWorker && len(d.Config.APIKeys) == 0 {
		c.skipAll("only a worker calls OpenRouter, and there is no key", names...)
		return
	}
	k, err := upstream.NewCheckup(d.Config)
	if err != nil {
		c.add(Fail, nameKeys, "without a key nothing is called for", "%v", err)
		c.skipAll("there is no key to ask with", nameProxy, nameBaseURL, nameModels)
		return
	}
	defer k.Close()
	answers := d.askKeys(ctx, k)
	if !d.reached(c, k, answers[0]) {
		c.skipAll("OpenRouter was not reached", nameKeys, nameModels)
		return
	}
	usable := d.keys(c, k, answers)
	if usable < 0 {
		c.skipAll("no key is usable", nameModels)
		return
	}
	for i, model := range k.Models() {
		d.model(ctx, c, asked{k, model, usable, i == 0})
	}
}

// keyAnswer is what came of the question about a key.
type keyAnswer struct {
	upstream.KeyAnswer
	trouble *upstream.CheckupError // nil: it was answered
	took    time.Duration
}

// askKeys asks about the first key, and about the others if OpenRouter was reached.
func (d *doctor) askKeys(ctx context.Context, k *upstream.Checkup) []keyAnswer {
	all := make([]keyAnswer, k.Keys())
	ask := func(i int) {
		limited, cancel := context.WithTimeout(ctx, openRouterTime)
		defer cancel()
		began := time.Now()
		answer, err := k.Key(limited, i)
		all[i] = keyAnswer{KeyAnswer: answer, took: time.Since(began)}
		_ = errors.As(err, &all[i].trouble)
	}
	ask(0)
	if t := all[0].trouble; t != nil && (t.Network || t.Proxy) {
		return all
	}
	slots := make(chan struct{}, keysAtOnce)
	var wg sync.WaitGroup
	for i := 1; i < len(all); i++ {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			ask(i)
		})
	}
	wg.Wait()
	return all
}

// reached judges the way to OpenRouter by the first answer.
func (d *doctor) reached(c *column, k *upstream.Checkup, first keyAnswer) bool {
	t, base := first.trouble, d.Config.BaseURL
	if k.Proxy() == "" {
		c.skip(nameProxy, "none is used (HTTP_PROXY, NO_PROXY)")
	}
	switch {
	case t != nil && t.Proxy && k.Proxy() != "":
		c.add(Fail, nameProxy, "see whether the proxy runs and lets this machine through to OpenRouter, with the user and password of HTTP_PROXY; or leave HTTP_PROXY unset",
			"%s does not let calls through: %s", k.Proxy(), d.said(t))
		c.skip(nameBaseURL, "the proxy does not let calls through")
		return false
	case t != nil && t.Network:
		if k.Proxy() != "" {
			c.skip(nameProxy, "%s: OpenRouter did not answer through it", k.Proxy())
		}
		c.add(Fail, nameBaseURL, "does OPENROUTER_BASE_URL name it, and do DNS, firewall and certificates (SSL_CERT_FILE) let this machine there? Is HTTP_PROXY needed?", "%s is not reached: %s", base, d.said(t))
		return false
	}
	if k.Proxy() != "" {
		c.ok(nameProxy, "%s lets calls through", k.Proxy())
	}
	if t != nil && (t.Edge && t.Status != http.StatusNotFound || t.Status >= http.StatusInternalServerError || t.Status == 0) {
		c.add(Fail, nameBaseURL, "is OPENROUTER_BASE_URL right, with its path /api/v1? If it is, OpenRouter or an edge before it is failing: https://status.openrouter.ai", "%s does not answer as OpenRouter's API: %s", base, d.said(t))
		return false
	}
	c.ok(nameBaseURL, "%s answers after %s", base, rounded(first.took))
	return true
}

// keys judges each key, and returns the first that can be used; -1 if none can.
func (d *doctor) keys(c *column, k *upstream.Checkup, answers []keyAnswer) (usable int) {
	usable = slices.IndexFunc(answers, func(a keyAnswer) bool { return a.usable(d.Now()) })
	dead := Fail
	if usable >= 0 {
		dead = Warn // the others are used at once
	}
	for i, a := range answers {
		name := "key …" + k.End(i)
		if k.End(i) == "" {
			name = fmt.Sprintf("key %d", i+1)
		}
		d.key(c, name, a, dead)
	}
	return usable
}

// usable reports whether a call may be made with the key, as far as OpenRouter tells.
func (a keyAnswer) usable(now time.Time) bool {
	if a.trouble != nil {
		return !a.refused()
	}
	return !a.expired(now) && (a.Remaining == nil || *a.Remaining > 0)
}

func (a keyAnswer) expired(now time.Time) bool {
	return !a.ExpiresAt.IsZero() && !now.Before(a.ExpiresAt)
}

// refused reports whether it is the key that OpenRouter does not take.
func (a keyAnswer) refused() bool {
	switch a.trouble.Status {
	case http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusForbidden:
		return true
	}
	return false
}

// key judges one. dead is the status of one that cannot be used.
func (d *doctor) key(c *column, name string, a keyAnswer, dead Status) {
	now := d.Now()
	if t := a.trouble; t != nil {
		switch {
		case t.Status == http.StatusPaymentRequired:
			c.add(dead, name, "buy credits (https://openrouter.ai/settings/credits)", "its account is empty: %s", d.said(t))
		case a.refused():
			c.add(dead, name, newKey, "OpenRouter refuses it: %s", d.said(t))
		case t.Status == http.StatusNotFound:
			c.skip(name, "this server tells nothing of keys (a gateway in OpenRouter's place?)")
		default:
			c.add(Warn, name, "try again; https://status.openrouter.ai", "OpenRouter did not tell of it: %s", d.said(t))
		}
		return
	}
	left := "no limit of its own"
	if a.Remaining != nil {
		left = fmt.Sprintf("%.2f USD left", *a.Remaining)
		if a.Limit != nil {
			left = fmt.Sprintf("%.2f of %.2f USD left", *a.Remaining, *a.Limit)
		}
		if a.Reset != "" {
			left += " (" + a.Reset + ")"
		}
	}
	end := "never expires"
	if !a.ExpiresAt.IsZero() {
		end = "expires on " + a.ExpiresAt.Format(time.RFC3339)
	}
	raise := "raise its limit (https://openrouter.ai/settings/keys), or add another key"
	switch {
	case a.expired(now):
		c.add(dead, name, newKey, "it has expired on %s", a.ExpiresAt.Format(time.RFC3339))
	case a.Remaining != nil && *a.Remaining <= 0:
		c.add(dead, name, raise, "it is empty: %s", left)
	case a.Warns(now):
		c.add(Warn, name, newKey, "%s in %s; %s", end, rounded(a.ExpiresAt.Sub(now)), left)
	case a.Remaining != nil && a.Limit != nil && *a.Remaining < nearlySpent**a.Limit:
		c.add(Warn, name, raise, "it is nearly empty: %s, %s", left, end)
	default:
		c.ok(name, "usable, %s, %s", left, end)
	}
}

// asked is a model to ask about, with a key.
type asked struct {
	k         *upstream.Checkup
	model     string
	key       int
	isDefault bool
}

// model judges a model of the settings. The default is needed, a fallback is not.
func (d *doctor) model(ctx context.Context, c *column, a asked) {
	limited, cancel := context.WithTimeout(ctx, openRouterTime)
	defer cancel()
	name, gone, wayOut := "fallback", Warn, "take it out of OPENROUTER_FALLBACK_MODELS"
	if a.isDefault {
		name, gone, wayOut = "model", Fail, "set OPENROUTER_MODEL to another model, or OPENROUTER_FALLBACK_MODELS to models that may answer instead"
	}
	answer, err := a.k.Model(limited, a.model, a.key)
	now := d.Now()
	switch {
	case err != nil:
		c.add(Warn, name, "try again; https://status.openrouter.ai", "%s: not known, OpenRouter could not be asked: %s", a.model, d.said(err))
	case answer.Missing:
		c.add(gone, name, wayOut+" (if every model is missing: is OPENROUTER_BASE_URL right, with its path /api/v1?)", "OpenRouter does not offer %s", a.model)
	case !answer.At.IsZero() && !now.Before(answer.At):
		c.add(gone, name, wayOut, "%s has expired on %s: OpenRouter may stop offering it at any time", a.model, answer.Date)
	case answer.Warns(now):
		c.add(Warn, name, wayOut, "%s expires on %s", a.model, answer.Date)
	case answer.Date != "":
		c.ok(name, "%s is offered, until %s", a.model, answer.Date)
	default:
		c.ok(name, "%s is offered, no expiration date", a.model)
	}
}
