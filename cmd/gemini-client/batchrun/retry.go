package batchrun

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"gemini-client/events/client"
)

// retriesMost is how often a line can be asked for again.
const retriesMost = 20

// nextID is the id under which a request that failed is asked for again: a result is for
// ever, so its own id has been used up.
func nextID(id string) string { return uuid.NewSHA1(namespace, []byte(id)).String() }

// unfailed returns the first of a line's ids that has no failed result.
func (r *run) unfailed(ctx context.Context, id string) (string, error) {
	for range retriesMost {
		failed, err := r.hasFailed(ctx, id)
		if err != nil || !failed {
			return id, err
		}
		id = nextID(id)
	}
	return "", fmt.Errorf("it has failed %d times: correct the line, and it is a new one", retriesMost)
}

// hasFailed reports whether the stored result of a request is a failed one. It waits for a
// NATS that is away.
func (r *run) hasFailed(ctx context.Context, id string) (bool, error) {
	h, err := r.client.Open(id)
	if err != nil {
		return false, err
	}
	for {
		_, _, err := h.Stored(ctx)
		var failed *client.FailedError
		switch {
		case err == nil:
			return false, nil
		case errors.As(err, &failed):
			return true, nil
		case ctx.Err() != nil, errors.Is(err, client.ErrNotAllowed), errors.Is(err, client.ErrNoResults):
			return false, err
		}
		select {
		case <-time.After(waitFull):
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
}
