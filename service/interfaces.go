package service

import (
	"context"

	"gemini-client/events"
	"gemini-client/service/batch"
	"gemini-client/service/bus"
	"gemini-client/service/tenant"
	"gemini-client/service/upstream"
)

// messageBus is what the handler needs of the bus. *bus.Bus has it.
type messageBus interface {
	// Admit says of each request whether it may be called for.
	Admit(ctx context.Context, asks ...bus.Ask) []bus.Admission
	// Settle stores the end of a request.
	Settle(ctx context.Context, d *bus.Delivery, end bus.End) (bus.Settled, error)
	// Deltas publishes the answer while it is being written.
	Deltas(d *bus.Delivery, r *events.Request) *bus.Deltas
	// Holds reports whether an admitted request is still this process's.
	Holds(ctx context.Context, d *bus.Delivery) (bool, error)
	// IsCancelled asks the record of cancellations, as long as ctx lasts.
	IsCancelled(ctx context.Context, tenant, id string) (bool, error)
	// Waiting finds a request that waits as a schedule.
	Waiting(ctx context.Context, callback, id string) (*bus.Delivery, error)
	bodyStore
}

// bodyStore keeps what is too large for a message. *bus.Bus has it.
type bodyStore interface {
	// Body fetches what a request refers to.
	Body(ctx context.Context, d *bus.Delivery, ref events.BodyRef) ([]byte, error)
	// PutResult stores a result that is too large for a message.
	PutResult(ctx context.Context, id string, result []byte) (events.BodyRef, error)
	// DropBody deletes what nobody needs any more.
	DropBody(ctx context.Context, name string)
}

// batchBus is what batching needs of the bus beside that. *bus.Bus has it.
type batchBus interface {
	batch.Store
	// BatchReady reports whether requests can wait for batches.
	BatchReady(ctx context.Context) bool
	// BatchesKept reports whether anything is remembered of batches.
	BatchesKept(ctx context.Context) (bool, error)
	// Enrol marks a request that waits.
	Enrol(ctx context.Context, e bus.Enrolment) error
	// HasResult reports whether a request is answered.
	HasResult(ctx context.Context, callback, id string) (bool, error)
	// AdmitTick claims what a tick has looked after.
	AdmitTick(ctx context.Context, d *bus.Delivery) bus.Admission
	// Settle ends a tick.
	Settle(ctx context.Context, d *bus.Delivery, end bus.End) (bus.Settled, error)
}

// answerer is what the handler needs of upstream. *upstream.Caller has it.
type answerer interface {
	Answer(ctx context.Context, request *events.Request, piece func(attempt int, text string)) *upstream.Reply
	// Limited reports whether calls may have to wait for limits that all workers share.
	Limited() bool
}

// openBus is what the service asks of the bus beside the handler's interface.
// *bus.Bus has it.
type openBus interface {
	messageBus
	// Run hands deliveries out until intake ends and all are settled.
	Run(intake, work context.Context, h bus.Handlers) error
	// Closed is closed when the connection is given up for good.
	Closed() <-chan struct{}
	// Unready returns why no requests can be taken; "" if they can.
	Unready() string
	// Full returns why nothing is taken: no result could be stored, or no memory is
	// left for requests; "" if there is room.
	Full() string
	// InFlight is the number of messages that are worked on, and the slots.
	InFlight() (n, slots int)
	// Instance names this process.
	Instance() string
	// Tenants is what this process knows of the declared tenants.
	Tenants() *tenant.Registry
}
