package batchrun

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"
	"text/template"
	"time"

	"golang.org/x/sync/errgroup"

	"gemini-client/events"
	"gemini-client/events/client"
)

// Options says what is run.
type Options struct {
	Input    io.Reader
	Output   string // a file, which is gone on with; "-" is Stdout
	Stdout   io.Writer
	Failures io.Writer // gets a line for each request that failed; nil: nothing does

	Text        bool               // each line is a prompt
	CSV         bool               // the input is a CSV file whose first row names the columns
	Template    *template.Template // makes the prompt of each line, a JSON object, or row; nil: none
	Model       string             // of lines that name none; "": the service's
	MaxInFlight int                // requests that are submitted and have no result
	MaxCost     float64            // US dollars after which no more are submitted; 0: any
	Deadline    time.Duration      // of each request, from its submit; 0: none
	Ordered     bool               // results come in the order of the lines, behind the output's
	RetryFailed bool               // the output's failed results are taken out, and asked for again

	Progress func(Summary) // nil: nobody is told
	Every    time.Duration // between two calls of it
}

// Summary is what became of a run so far.
type Summary struct {
	Done      int // lines that have a result
	Skipped   int // of these, those that the output had already
	Completed int
	Failed    int     // with those of earlier runs
	Tokens    int     // in and out, with those of earlier runs
	Cost      float64 // US dollars, with those of earlier runs
	OverCost  bool    // MaxCost was reached, and lines are left
	Took      time.Duration
}

// run is a run under way.
type run struct {
	Options

	client *client.Client
	out    *output
	start  time.Time

	mu  sync.Mutex
	sum Summary
}

// Run submits each line of the input that the output has no result of, and writes the results.
// Errors: of input and output, those of [client.Client.Submit] that concern every request,
// ctx's; then requests may be under way, and the same run again gets their results.
func Run(ctx context.Context, c *client.Client, o Options) (sum Summary, err error) {
	out, err := openOutput(o.Output, o.Stdout, o.RetryFailed, o.Ordered)
	if err != nil {
		return sum, err
	}
	defer func() { err = errors.Join(err, out.close()) }()
	r := &run{Options: o, client: c, out: out, start: time.Now(), sum: Summary{Cost: out.cost, Tokens: out.tokens, Failed: out.bad}}
	all, work := errgroup.WithContext(ctx)
	stop := r.tell(work)
	all.SetLimit(max(1, o.MaxInFlight))
	readable := EndWith(work, o.Input)
	err = r.lines(work, all)
	readable()
	err = errors.Join(all.Wait(), err)
	stop()
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return r.summary(), err
}

// lines begins what is to be done, line by line.
func (r *run) lines(ctx context.Context, all *errgroup.Group) error {
	p := parser{text: r.Text, template: r.Template, model: r.Model}
	before, number := closed(), 0
	for data, err := range r.records() {
		if err != nil {
			return fmt.Errorf("read the input: %w", err)
		}
		number++
		l, ok := p.parse(number, data)
		switch {
		case ctx.Err() != nil:
			return nil
		case !ok:
			continue
		case r.out.has(l):
			r.count(func(s *Summary) { s.Skipped++; s.Done++ })
			continue
		case r.spent():
			r.count(func(s *Summary) { s.OverCost = true })
			return nil
		}
		turn, mine := before, make(chan struct{})
		if before = mine; !r.Ordered {
			turn = closed()
		}
		all.Go(func() error { return r.one(ctx, l, turn, mine) })
	}
	return nil
}

// records are what the input has.
func (r *run) records() iter.Seq2[[]byte, error] {
	if r.CSV {
		return rows(r.Input)
	}
	return lines(r.Input)
}

func closed() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// one is one line from its submit to its place in the output.
func (r *run) one(ctx context.Context, l line, turn <-chan struct{}, mine chan<- struct{}) error {
	result, err := r.answer(ctx, l)
	if err != nil {
		return err
	}
	select {
	case <-turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := r.out.put(l, result); err != nil {
		return fmt.Errorf("write the output: %w", err)
	}
	close(mine)
	return r.counted(l, result)
}

// answer returns the result of a line, which may be a failed one.
func (r *run) answer(ctx context.Context, l line) (events.Result, error) {
	if l.err != nil {
		return failed(l, events.InvalidRequest, l.err), nil //nolint:nilerr // it is the result
	}
	if r.RetryFailed {
		id, err := r.unfailed(ctx, l.request.ID)
		if err != nil {
			return events.Result{}, fmt.Errorf("line %d: %w", l.number, err)
		}
		l.request.ID = id
	}
	h, err := r.submit(ctx, l.request)
	switch {
	case errors.Is(err, client.ErrTooLarge):
		return failed(l, events.PayloadTooLarge, err), nil
	case err != nil:
		return events.Result{}, fmt.Errorf("line %d: %w", l.number, err)
	}
	result, err := h.Result(ctx)
	if e := (*client.FailedError)(nil); errors.As(err, &e) {
		return result, nil
	}
	if errors.Is(err, client.ErrNoBody) { // it was answered, and nobody can read it any more
		lost := l.request.Failed(events.Failure{Code: events.Internal, Message: err.Error()}, time.Now())
		lost.Usage, lost.Cost = result.Usage, result.Cost
		return lost, nil
	}
	return result, err
}

// failed is the result of a line that was not submitted.
func failed(l line, code events.Code, why error) events.Result {
	return l.request.Failed(events.Failure{Code: code, Message: fmt.Sprintf("Line %d was not submitted: %v", l.number, why)}, time.Now())
}

// waitFull is how long a full queue is waited for before the next try.
const waitFull = time.Second

// submit waits for a full queue, and for a NATS that is away.
func (r *run) submit(ctx context.Context, request events.Request) (*client.Handle, error) {
	for {
		if r.Deadline > 0 {
			request.Deadline = time.Now().Add(r.Deadline).UTC()
		}
		h, err := r.client.Submit(ctx, request)
		if !errors.Is(err, client.ErrQueueFull) && !errors.Is(err, client.ErrUnknown) {
			return h, err
		}
		select {
		case <-time.After(waitFull):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}
