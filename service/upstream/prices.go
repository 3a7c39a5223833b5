package upstream

import (
	"context"
	"sync"
	"time"

	"gemini-client/service/openrouter"
)

const (
	priceLasts = time.Hour       // what the catalogue says of a price; an alias may stand for another model then
	priceStale = 24 * time.Hour  // as long as it cannot be asked again
	priceAgain = 5 * time.Second // when it is asked again that could not be
	pricesMost = 1000            // models whose prices are kept: requesters name them
)

// prices are what models cost at most, by the catalogue: asked for when a request under a
// budget names the model.
type prices struct {
	client *openrouter.Client
	ended  context.Context //nolint:containedctx // of the caller: ends the looks
	end    context.CancelFunc
	looks  sync.WaitGroup

	mu  sync.Mutex
	all map[string]*priced // by the names in the catalogue
}

// priced is what is known of one model.
type priced struct {
	asking chan struct{} // holds one while somebody asks

	info  openrouter.ModelInfo
	gone  bool      // the catalogue does not have it
	read  time.Time // zero: never
	tried time.Time
	err   error // of the last look
}

// of returns what is known of a model, asking for it where that is not known. The error
// is the client's, or ctx's cause.
func (p *prices) of(ctx context.Context, key, model string) (info openrouter.ModelInfo, gone bool, err error) {
	name := listedName(model)
	one := p.entry(name)
	for {
		select {
		case one.asking <- struct{}{}:
		case <-ctx.Done():
			return info, false, context.Cause(ctx)
		}
		if now := time.Now(); !one.due(now) {
			defer func() { <-one.asking }()
			if one.read.IsZero() || now.Sub(one.read) > priceStale {
				return info, false, one.err
			}
			return one.info, one.gone, nil
		}
		p.looks.Go(func() { // whoever asked may end: the answer is for all
			defer func() { <-one.asking }()
			one.look(p.ended, p.client, key, name)
		})
	}
}

// due reports whether the catalogue is asked.
func (one *priced) due(now time.Time) bool {
	lasts := priceLasts
	if one.gone { // a model may be new
		lasts = priceAgain
	}
	return now.Sub(one.read) > lasts && now.Sub(one.tried) > priceAgain
}

func newPrices(client *openrouter.Client) *prices {
	p := &prices{client: client, all: map[string]*priced{}}
	p.ended, p.end = context.WithCancel(context.Background())
	return p
}

// close ends the looks that are under way.
func (p *prices) close() {
	p.end()
	p.looks.Wait()
}

// entry returns the place of a model.
func (p *prices) entry(name string) *priced {
	p.mu.Lock()
	defer p.mu.Unlock()
	one := p.all[name]
	if one == nil {
		if len(p.all) >= pricesMost {
			clear(p.all)
		}
		one = &priced{asking: make(chan struct{}, 1)}
		p.all[name] = one
	}
	return one
}

// look asks the catalogue.
func (one *priced) look(ctx context.Context, client *openrouter.Client, key, name string) {
	ctx, cancel := context.WithTimeout(ctx, catalogueTimeout)
	defer cancel()
	info, err := client.Model(ctx, key, name)
	one.tried, one.err = time.Now(), err
	switch {
	case err == nil:
		one.info, one.gone, one.read = info, false, one.tried
	case isUnknown(err):
		one.info, one.gone, one.read = openrouter.ModelInfo{}, true, one.tried
	case one.gone: // it may be back
		one.gone, one.read = false, time.Time{}
	}
}
