package batch

import (
	"context"
	"iter"
	"time"

	"gemini-client/events"
	"gemini-client/service/bus"
	"gemini-client/service/upstream"
)

// Store keeps marks, records and ticks. *bus.Bus has it.
type Store interface {
	// NextMark returns the first mark of a group behind a sequence; nil if there is none.
	NextMark(ctx context.Context, group string, after uint64) (*bus.Mark, error)
	// BatchRecord returns a record.
	BatchRecord(ctx context.Context, kind, name string) (bus.Record, error)
	// NextBatchRecord returns the first record of a kind behind a sequence.
	NextBatchRecord(ctx context.Context, kind string, after uint64) (*bus.Record, error)
	// PutBatchRecord stores a record by compare-and-set.
	PutBatchRecord(ctx context.Context, kind string, r bus.Record, ttl time.Duration) (uint64, error)
	// Tick has a group or a job looked after at a time, unless one is set already.
	Tick(ctx context.Context, name string, at time.Time) error
	// TickNow has it looked after now.
	TickNow(ctx context.Context, name string) error
	// MaxRecord is the largest record, in bytes.
	MaxRecord() int
}

// API is OpenRouter's Batch API. *upstream.Caller has it.
type API interface {
	// SubmitBatch stores a batch there.
	SubmitBatch(ctx context.Context, job upstream.BatchJob, items iter.Seq2[upstream.BatchItem, error]) (upstream.Batch, error)
	// FindBatches lists the batches that were created since.
	FindBatches(ctx context.Context, since time.Time) ([]upstream.Batch, error)
	// Batch reads a batch.
	Batch(ctx context.Context, key, id string) (upstream.Batch, error)
	// BatchResults reads the results of a batch that is completed.
	BatchResults(ctx context.Context, b upstream.Batch, each func(upstream.BatchResult) error) error
}

// Requests are those that wait. The service's handler has them. What is said of one
// that does not wait in the group any more changes nothing.
type Requests interface {
	// Read returns a request that waits; false if it does not.
	Read(ctx context.Context, group string, i Item) (events.Request, bool, error)
	// Budgeted reports whether what a tenant's calls cost is reserved in a budget.
	Budgeted(tenant string) bool
	// Answer ends a request with what came of it. False if it has to be asked again.
	Answer(ctx context.Context, group string, i Item, re upstream.Reply) (over bool, err error)
	// Return has a request go on in the ordinary way because of a failure, or fail with it
	// if it allows nothing else. False if it has to be asked again.
	Return(ctx context.Context, group string, i Item, why events.Failure) (over bool, err error)
}
