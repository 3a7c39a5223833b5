package bus

import (
	"context"
	"log/slog"
	"time"

	"gemini-client/events"
)

// bound is what a process has found or made at its start.
type bound struct {
	streams *streams
	queues  []*queue      // the retries first
	ackWait time.Duration // the shortest that is in force
}

type bindOptions struct {
	names  events.Names
	create bool // what is missing
	log    *slog.Logger
}

// bind makes sure of the streams and consumers, and binds them. It waits for NATS, which
// the connection notes. Errors: those of awaitJetStream.
func bind(ctx context.Context, conn *Conn, topology Topology, o bindOptions) (b bound, err error) {
	needed := topology.needed()
	waited, err := awaitJetStream(ctx, o.log, func(ctx context.Context) (err error) {
		if err = needed.Ensure(ctx, conn.JetStream, o.create, o.log); err != nil {
			return err
		}
		if b.streams, err = bindStreams(ctx, conn, o.names, o.log); err != nil {
			return err
		}
		b.queues, b.ackWait, err = bindQueues(ctx, conn, needed, o.create)
		return err
	})
	if err != nil {
		return b, err
	}
	if o.create {
		waited = ensureBodies(ctx, conn, topology.Bodies, o.log) || waited
		waited = topology.ensureTenants(ctx, conn, o.log) || waited
	}
	var slow *queue
	again, err := awaitJetStream(ctx, o.log, func(ctx context.Context) (err error) {
		slow, err = topology.slowLane(ctx, conn)
		return err
	})
	if slow != nil {
		slow.ackWait = b.ackWait
		b.queues = append(b.queues, slow)
	}
	conn.waited = conn.waited || waited || again
	return b, err
}
