package upstream

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

func pricedModel(r *http.Request) (*http.Response, error) {
	return response(r, http.StatusOK, `{"data":{"id":"m","context_length":1000,"pricing":{"prompt":"0.000001","completion":"0.000002"}}}`), nil
}

// A request that ends while the catalogue is asked leaves the answer to those that follow.
func TestAPriceOutlivesWhoAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, up := newTestCaller(t, nil, ok)
		up.catalogue = slow(time.Second, pricedModel)
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Millisecond, func() { cancel(ErrCancelled) })
		began := time.Now()
		if _, _, err := p.prices.of(ctx, "key", "m"); !errors.Is(err, ErrCancelled) || time.Since(began) > time.Millisecond {
			t.Errorf("got %v after %v, want it cancelled at once", err, time.Since(began))
		}
		info, gone, err := p.prices.of(t.Context(), "key", "m")
		if err != nil || gone || info.Pricing.MostWritten == 0 || up.lookups != 1 {
			t.Errorf("got %+v, %t, %v after %d looks", info, gone, err, up.lookups)
		}
		p.Close()
	})
}

// What the catalogue does not have is asked for again soon, and is not taken for gone when
// that fails.
func TestAModelIsNotGoneForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, up := newTestCaller(t, nil, ok)
		look := func(answers reaction) (gone bool, err error) {
			up.catalogue = answers
			_ = sleep(t.Context(), priceAgain+1)
			_, gone, err = p.prices.of(t.Context(), "key", "m")
			return gone, err
		}
		if gone, err := look(status(404)); !gone || err != nil {
			t.Errorf("a 404: %t, %v", gone, err)
		}
		if gone, err := look(status(502)); gone || err == nil {
			t.Errorf("a 502 after it: %t, %v", gone, err)
		}
		if gone, err := look(status(404)); !gone || err != nil {
			t.Errorf("a 404 again: %t, %v", gone, err)
		}
		if gone, err := look(pricedModel); gone || err != nil {
			t.Errorf("a model that is new: %t, %v", gone, err)
		}
		if gone, err := look(status(502)); gone || err != nil || up.lookups != 4 {
			t.Errorf("a price that is known: %t, %v after %d looks", gone, err, up.lookups)
		}
		p.Close()
	})
}
