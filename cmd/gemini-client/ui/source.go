package ui

import (
	"context"
	"errors"
	"time"

	"gemini-client/events"
	"gemini-client/service"
)

// ErrNotFound says that there is no such thing.
var ErrNotFound = errors.New("not found")

// Source reads what the pages show. Its methods may be called concurrently. What a
// user may not see is named in Unseen, and the rest is returned.
type Source interface {
	// Overview returns the state of everything.
	Overview(ctx context.Context) (Overview, error)
	// Request returns what is known of one request; of an isolated tenant, with its name.
	Request(ctx context.Context, id, tenant string) (Request, error)
	// Failures returns the newest failed results.
	Failures(ctx context.Context, f Filter) ([]Failure, error)
	// DeadLetters returns dead letters, the oldest first.
	DeadLetters(ctx context.Context, f Filter) ([]DeadLetter, error)
	// DeadLetter returns one with its body, ErrNotFound if there is none.
	DeadLetter(ctx context.Context, sequence uint64) (DeadLetterDetail, error)
	// Spend returns what was spent since then.
	Spend(ctx context.Context, since time.Duration) (Spend, error)
	// Replay has dead letters answered again, and says what became of each.
	Replay(ctx context.Context, sequences []uint64) ([]Replayed, error)
}

// Overview is the state of everything at one time.
type Overview struct {
	At          time.Time
	Queues      []Queue
	Scheduled   uint64
	NextAt      *time.Time // of the scheduled; nil if it is not known
	DeadLetters []Count    // by code
	Dead        uint64
	Batches     []Batch
	Workers     []service.WorkerStatus
	SpentHour   *float64 // USD in the last hour; nil: not known
	SpentDay    *float64
	Unseen      []string
}

// Queue is one of the queues: of requests, of a tenant's lane, or the retries.
type Queue struct {
	Name              string
	Waiting, InFlight uint64
	OldestAt          *time.Time // of the waiting; nil if none waits or it is not known
	PausedUntil       *time.Time
}

// Count is how often there is something.
type Count struct {
	Name string
	N    uint64
}

// Batch is one that is under way at OpenRouter.
type Batch struct {
	ID, Model string
	Requests  int
	Since     time.Time
}

// Request is what is known of one request.
type Request struct {
	ID, Tenant string
	Known      bool
	Steps      []Step // in the order of time
	Results    []Result
	DeadLetter uint64 // its sequence; 0: none
	TraceID    string // "" if it is not known
	Unseen     []string
}

// Step is something that happened to a request, or is to happen.
type Step struct {
	At   time.Time
	Name string // queued, in flight, scheduled, …
	Text string
	Open bool // it is not over
}

// Result is the stored result of a request.
type Result struct {
	Subject  string
	Sequence uint64
	At       time.Time
	Body     events.Result
}

// Filter selects failures or dead letters.
type Filter struct {
	Code   events.Code // "": any
	Tenant string      // "": any
	ID     string      // "": any
	Since  time.Time   // zero: any
	Limit  int
}

// Failure is a failed result.
type Failure struct {
	At         time.Time
	ID, Tenant string
	Code       events.Code
	Error      string
}

// DeadLetter is the original of a request that failed for good.
type DeadLetter struct {
	Sequence             uint64
	At                   time.Time
	Code                 events.Code
	ID                   string // "" if the message has no usable one
	Tenant, From, Reason string
}

// DeadLetterDetail is a dead letter with its headers and its body.
type DeadLetterDetail struct {
	DeadLetter
	Header []Field
	Model  string
	Body   string
}

// Field is a name and its value.
type Field struct{ Name, Value string }

// Replayed is what became of a dead letter that was to be replayed.
type Replayed struct {
	Sequence uint64
	ID       string
	Outcome  string // a sentence
	Failed   bool
}

// Spend is what results tell of a time.
type Spend struct {
	Since                    time.Time
	Total                    SpendRow
	ByModel, ByTenant, ByKey []SpendRow
}

// SpendRow is a sum of results.
type SpendRow struct {
	Name               string
	Requests, Failures int64
	Prompt, Completion int64   // tokens
	Cost               float64 // USD
	Unknown            int64   // results of which no cost is known
}
