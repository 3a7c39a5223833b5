package service

import (
	"context"
	"time"

	"gemini-client/service/upstream"
)

// storeGrace is how long, after calls have been cut off, pending results and
// nacks may still reach NATS.
const storeGrace = 3 * time.Second

// running is what has to be stopped.
type running struct {
	bus     openBus
	handler *handler
	done    chan struct{} // closed when everything is settled
	endWork context.CancelCauseFunc
}

// drain waits for what is in flight, up to SHUTDOWN_TIMEOUT, and then cuts it:
// calls are cancelled, their messages are nacked, and after storeGrace whatever
// still waits for NATS ends too. It returns nil or ErrCut.
func (s *Service) drain(ctx context.Context, r running) error {
	if n, _ := r.bus.InFlight(); n > 0 {
		s.tel.Logger.InfoContext(ctx, "stopping: no more requests are taken, calls in flight may finish", "requests", n, "for_at_most", s.config.ShutdownTimeout)
	}
	limit := time.NewTimer(s.config.ShutdownTimeout)
	defer limit.Stop()
	select {
	case <-r.done:
		return nil
	case <-limit.C:
	}
	cut, _ := r.bus.InFlight()
	r.handler.inFlight.interrupt(upstream.ErrStopping)
	grace := time.AfterFunc(storeGrace, func() { r.endWork(upstream.ErrStopping) })
	defer grace.Stop()
	<-r.done
	if cut == 0 {
		return nil
	}
	s.tel.Logger.WarnContext(ctx, "calls were cut off, their requests are back in the queue", "requests", cut)
	return ErrCut
}
