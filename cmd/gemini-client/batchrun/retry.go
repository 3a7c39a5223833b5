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
		h, err := r.client.Open(id)
		if err != nil {
			return "", err
		}
		_, _, err = h.Stored(ctx)
		var failed *client.FailedError
		switch {
		case err == nil:
			return id, nil
		case errors.As(err, &failed):
			id = nextID(id)
		case ctx.Err() != nil, errors.Is(err, client.ErrNotAllowed), errors.Is(err, client.ErrNoResults):
			return "", err
		default: // NATS is away
			select {
			case <-time.After(waitFull):
			case <-ctx.Done():
				return "", context.Cause(ctx)
			}
		}
	}
	return "", fmt.Errorf("it has failed %d times: correct the line, and it is a new one", retriesMost)
}
