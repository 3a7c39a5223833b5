package batch

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"gemini-client/service/bus"
)

// Kinds of records.
const (
	jobs  = "jobs"
	heads = "heads"
)

// How long records are kept: of a job under way longer than it can take, of one that has
// ended long enough for those who may still ask whose a batch was.
const (
	liveFor  = 30 * 24 * time.Hour
	endedFor = 48 * time.Hour
)

// state is where a job is.
type state string

const (
	submitting state = "submitting" // not at OpenRouter, as far as is known
	submitted  state = "submitted"  // it is a batch there
	ended      state = "ended"
)

// Item names a request of a job.
type Item struct {
	Callback string
	ID       string
	Retries  int // of the request so far: after another one it is not this job's any more
}

// Job is the record of what becomes one batch.
type Job struct {
	ID    string `json:"id"`
	Group string `json:"group"`
	State state  `json:"state"`

	Last    uint64    `json:"last"` // mark that it was collected up to
	Created time.Time `json:"created"`
	Nonce   string    `json:"nonce"`            // of its custom ids: another service's jobs may be called the same
	Parent  string    `json:"parent,omitempty"` // the job that it is a part of

	Model   string    `json:"model,omitempty"`
	Unsure  bool      `json:"unsure,omitempty"` // it may have been submitted
	Looks   int       `json:"looks,omitempty"`  // for a batch of it, in vain
	Posted  time.Time `json:"posted,omitzero"`  // when the last submission began
	Foreign []string  `json:"foreign,omitempty"`

	BatchID string `json:"batch,omitempty"`
	Guessed bool   `json:"guessed,omitempty"` // it was found, and may be another's
	Key     string `json:"key,omitempty"`     // fingerprint of the key that it was submitted with
	Gone    int    `json:"gone,omitempty"`
	Rounds  int    `json:"rounds,omitempty"` // of answering its requests

	Outcome outcome `json:"outcome,omitempty"` // of one that has ended

	Callbacks []string `json:"callbacks,omitempty"`
	Encoded   []string `json:"items,omitempty"` // <id> <callback> <retries>

	Items    []Item `json:"-"`
	sequence uint64 // of the record
}

// outcome is how a job ended, for metrics, logs and its relatives.
type outcome string

const (
	completed outcome = "completed"
	split     outcome = "split"   // it failed, and two smaller jobs take its place
	failed    outcome = "failed"  // it failed, and its requests go on without it
	refused   outcome = "refused" // OpenRouter did not take it
	expired   outcome = "expired" // or was cancelled there, or did not end in time
	lost      outcome = "lost"    // OpenRouter does not know it any more
	empty     outcome = "empty"   // none of its requests waited any more
)

// encode packs the items: thousands of them share few callbacks.
func (j *Job) encode() ([]byte, error) {
	j.Callbacks, j.Encoded = nil, make([]string, len(j.Items))
	for n, i := range j.Items {
		at := slices.Index(j.Callbacks, i.Callback)
		if at < 0 {
			at = len(j.Callbacks)
			j.Callbacks = append(j.Callbacks, i.Callback)
		}
		j.Encoded[n] = fmt.Sprintf("%s %d %d", i.ID, at, i.Retries)
	}
	return json.Marshal(j)
}

// itemBytes is what an item takes in a record, with room to spare.
const itemBytes = 64

func decode(r bus.Record) (*Job, error) {
	j := &Job{sequence: r.Sequence}
	if err := json.Unmarshal(r.Body, j); err != nil {
		return nil, fmt.Errorf("the record of job %s: %w", r.Name, err)
	}
	for _, text := range j.Encoded {
		fields := strings.Fields(text)
		if len(fields) != 3 {
			return nil, fmt.Errorf("the record of job %s: an item is broken", r.Name)
		}
		at, err := strconv.Atoi(fields[1])
		retries, err2 := strconv.Atoi(fields[2])
		if err != nil || err2 != nil || at < 0 || at >= len(j.Callbacks) {
			return nil, fmt.Errorf("the record of job %s: an item is broken", r.Name)
		}
		j.Items = append(j.Items, Item{Callback: j.Callbacks[at], ID: fields[0], Retries: retries})
	}
	j.Callbacks, j.Encoded = nil, nil
	return j, nil
}

// customID names an item to OpenRouter.
func (j *Job) customID(n int) string { return fmt.Sprintf("%s.%d.%s", j.ID, n, j.Nonce) }

// owner is whose item a custom id names.
type owner struct {
	job   string // "" if it is nobody's here
	nonce string
	n     int
}

func (j *Job) owns(o owner) bool { return o.job == j.ID && o.nonce == j.Nonce }

func parseCustomID(id string) owner {
	fields := strings.Split(id, ".")
	if len(fields) != 3 || !isJob(fields[0]) {
		return owner{}
	}
	n, err := strconv.Atoi(fields[1])
	if err != nil || n < 0 {
		return owner{}
	}
	return owner{job: fields[0], nonce: fields[2], n: n}
}

// isJob reports whether what a tick names is a job: those of groups have no dash.
func isJob(name string) bool { return strings.Contains(name, "-") }

// job returns the record of a job, nil if there is none.
func (r *Runner) job(ctx context.Context, id string) (*Job, error) {
	record, err := r.store.BatchRecord(ctx, jobs, id)
	if err != nil || len(record.Body) == 0 {
		return nil, err
	}
	return decode(record)
}

// put stores a job in the place of what was read of it. The error is a conflict if
// another worker has done so.
func (r *Runner) put(ctx context.Context, j *Job) (err error) {
	body, err := j.encode()
	if err != nil {
		return err
	}
	ttl := liveFor
	if j.State == ended {
		ttl = endedFor
	}
	j.sequence, err = r.store.PutBatchRecord(ctx, jobs, bus.Record{Name: j.ID, Body: body, Sequence: j.sequence}, ttl)
	return err
}

// start stores a new job and has it looked after. If it is there already, it is what
// another collector, or a worker that died, has made of it: then it is returned.
func (r *Runner) start(ctx context.Context, j *Job) (*Job, error) {
	j.State, j.Created, j.Nonce = submitting, time.Now().UTC(), strings.ToLower(rand.Text()[:8])
	err := r.put(ctx, j)
	if bus.Conflict(err) {
		if j, err = r.job(ctx, j.ID); err == nil && j == nil {
			err = fmt.Errorf("the record of a job went away")
		}
	}
	if err != nil || j.State == ended {
		return j, err
	}
	return j, r.store.Tick(ctx, j.ID, time.Now())
}
