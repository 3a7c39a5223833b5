package service

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"gemini-client/service/upstream"
)

// storeGrace is how long, after calls have been cut off, pending results and
// nacks may still reach NATS.
const storeGrace = 3 * time.Second

// ErrCut is returned by Run when SHUTDOWN_TIMEOUT cut calls off: their messages
// went back to the queue, but the calls may have been paid for.
var ErrCut = errors.New("calls were cut off: SHUTDOWN_TIMEOUT was over before they had finished")

// running is what has to be stopped.
type running struct {
	bus      openBus
	inFlight *inFlight
	logger   *slog.Logger
	timeout  time.Duration // SHUTDOWN_TIMEOUT
	done     chan struct{} // closed when everything is settled
	endWork  context.CancelCauseFunc
}

// drain waits for what is in flight, up to SHUTDOWN_TIMEOUT, and then cuts it:
// calls are cancelled, their messages go back, and after storeGrace whatever
// still waits for NATS ends too. It returns nil or ErrCut.
func (r running) drain(ctx context.Context) error {
	if n, _ := r.bus.InFlight(); n > 0 {
		r.logger.InfoContext(ctx, "stopping: no more requests are taken, calls in flight may finish", "requests", n, "for_at_most", r.timeout)
	}
	limit := time.NewTimer(r.timeout)
	defer limit.Stop()
	select {
	case <-r.done:
		return nil
	case <-limit.C:
	}
	cut, _ := r.bus.InFlight()
	r.inFlight.interrupt(upstream.ErrStopping)
	grace := time.AfterFunc(storeGrace, func() { r.endWork(upstream.ErrStopping) })
	defer grace.Stop()
	<-r.done
	if cut == 0 {
		return nil
	}
	r.logger.WarnContext(ctx, "calls were cut off, their requests are back in the queue", "requests", cut)
	return ErrCut
}
