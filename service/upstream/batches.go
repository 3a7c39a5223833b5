package upstream

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"slices"
	"time"

	"gemini-client/events"
	"gemini-client/service/openrouter"
)

// What one batch may hold.
const (
	BatchMaxItems = openrouter.BatchMaxItems
	BatchMaxBytes = openrouter.BatchMaxBytes
)

// ErrNoBatch says that OpenRouter knows no such batch, with any of the keys.
var ErrNoBatch = errors.New("OpenRouter knows no such batch")

// BatchJob is what the requests of a batch have in common.
type BatchJob struct {
	Model    string
	Provider json.RawMessage // OpenRouter's provider object; nil for any
}

// BatchItem is one request of a batch, known by its custom id.
type BatchItem struct {
	CustomID string
	Request  events.Request
}

// BatchResult is what came of one item.
type BatchResult struct {
	CustomID string
	Reply    Reply
}

// BatchOutcome is how a batch ended, if it did.
type BatchOutcome int

// The outcomes of a batch.
const (
	BatchRuns      BatchOutcome = iota // it has not ended
	BatchCompleted                     // it has results
	BatchFailed                        // one of its items is invalid
	BatchExpired                       // or it was cancelled: what was not run will not be
)

// Batch is a batch at OpenRouter.
type Batch struct {
	ID, Model   string
	Key         string // fingerprint of a key that sees it
	Created     time.Time
	Total       int // items
	FailedItems int
	Outcome     BatchOutcome
	Bill        events.Bill  // of all items together
	Failure     BatchFailure // of one that failed
}

// BatchFailure says why a batch failed, and hints at the item that is to blame.
type BatchFailure struct {
	Message  string
	CustomID string // "" if it names none
	Index    int    // from 0; -1 if it names none
}

// SubmitBatch stores a batch with one of the keys. The items are asked for while they
// are sent. An error of theirs is returned as it is, every other one is an *Error; its
// MayBeStored says whether the batch may be there all the same.
func (u *Caller) SubmitBatch(ctx context.Context, job BatchJob, items iter.Seq2[BatchItem, error]) (Batch, error) {
	lease := &lease{}
	if err := u.keys.acquire(ctx, u.waitMax, need{model: job.Model}, lease); err != nil {
		return Batch{}, classify(err)
	}
	defer u.keys.release(lease)
	var broken error
	b, err := u.client.SubmitBatch(ctx, lease.key.secret, openrouter.BatchJob(job), batchItems(job.Model, items, &broken))
	switch {
	case broken != nil:
		return Batch{}, broken
	case err != nil:
		e := classify(err)
		u.keys.failed(lease, e)
		return Batch{}, e
	}
	u.keys.succeeded(lease)
	u.hear()
	return newBatch(b, fingerprint(lease.key)), nil
}

// batchItems turns requests into what OpenRouter gets of them. broken is set to the error
// of the requests that ended them.
func batchItems(model string, items iter.Seq2[BatchItem, error], broken *error) iter.Seq2[openrouter.BatchItem, error] {
	return func(yield func(openrouter.BatchItem, error) bool) {
		for item, err := range items {
			if err != nil {
				*broken = err
			}
			if !yield(openrouter.BatchItem{CustomID: item.CustomID, Request: batchRequest(model, item.Request)}, err) {
				return
			}
		}
	}
}

// batchRequest is the chat request of an item. The batch has the model and the provider;
// Batch knows neither fallbacks nor sessions nor tiers.
func batchRequest(model string, r events.Request) openrouter.Request {
	chat := chatRequest(&r, nil)
	_ = adapt(model, &chat)
	chat.Model, chat.Models = model, nil
	for _, name := range []string{"models", "provider", "plugins", "session_id", "service_tier", "route"} {
		delete(chat.Extra, name)
	}
	return chat
}

// FindBatches lists the batches that were created since a time, as each of the keys sees
// them: whether one sees those of another is not clear. A key that OpenRouter refuses sees
// none, unless all are. The error is an *Error.
func (u *Caller) FindBatches(ctx context.Context, since time.Time) (found []Batch, err error) {
	var refused error
	seen := 0
	for _, key := range u.keys.inOrder("") {
		listed, err := u.listBatches(ctx, key, since)
		switch {
		case err == nil:
			seen++
		case isRefused(err):
			refused = classify(err)
		default:
			return nil, classify(err)
		}
		for _, b := range listed {
			if !slices.ContainsFunc(found, func(f Batch) bool { return f.ID == b.ID }) {
				found = append(found, newBatch(b, fingerprint(key)))
			}
		}
	}
	if seen == 0 {
		return nil, refused
	}
	return found, nil
}

// isRefused reports whether OpenRouter refuses a key.
func isRefused(err error) bool {
	var api *openrouter.Error
	return errors.As(err, &api) && (api.Status == http.StatusUnauthorized || api.Status == http.StatusForbidden)
}

// listBatches reads all pages of a list.
func (u *Caller) listBatches(ctx context.Context, key *apiKey, since time.Time) (all []openrouter.Batch, err error) {
	for after, more := "", true; more; more = after != "" {
		page, next, err := u.client.Batches(ctx, key.secret, since, after)
		if err != nil {
			return nil, err
		}
		all, after = append(all, page...), next
	}
	return all, nil
}

// Batch reads a batch with the key of that fingerprint, or with another one if there is
// none or it sees no such batch. Errors: ErrNoBatch, an *Error.
func (u *Caller) Batch(ctx context.Context, key, id string) (Batch, error) {
	return u.withEachKey(key, func(k *apiKey) (openrouter.Batch, error) { return u.client.Batch(ctx, k.secret, id, nil) })
}

// BatchResults reads the results of a batch that is completed, one by one. What an item
// cost, where it does not say so, is its share of the batch's cost, by its tokens. An
// error of each is returned as it is. Errors: ErrNoBatch, an *Error.
func (u *Caller) BatchResults(ctx context.Context, b Batch, each func(BatchResult) error) error {
	var failed error
	_, err := u.withEachKey(b.Key, func(k *apiKey) (openrouter.Batch, error) {
		return u.client.Batch(ctx, k.secret, b.ID, func(r openrouter.BatchResult) error {
			failed = each(BatchResult{CustomID: r.CustomID, Reply: batchReply(r, b.Bill, k)})
			return failed
		})
	})
	return cmp.Or(failed, err)
}

// withEachKey asks with one key after the other as long as they are told that there is no
// such batch, or that it is none of theirs.
func (u *Caller) withEachKey(fingerprinted string, ask func(*apiKey) (openrouter.Batch, error)) (Batch, error) {
	none := ErrNoBatch
	for _, key := range u.keys.inOrder(fingerprinted) {
		b, err := ask(key)
		var api *openrouter.Error
		switch {
		case err == nil:
			return newBatch(b, fingerprint(key)), nil
		case !errors.As(err, &api):
			return Batch{}, classify(err)
		case api.Status == http.StatusNotFound:
		case isRefused(err):
			none = classify(err) // the key that sees it may be the one that is refused
		default:
			return Batch{}, classify(err)
		}
	}
	return Batch{}, none
}

func newBatch(b openrouter.Batch, key string) Batch {
	made := Batch{ID: b.ID, Model: b.Model, Key: key, Created: b.CreatedAt, Total: b.Total, FailedItems: b.Failed, Failure: BatchFailure{Index: -1}}
	made.Bill = newUsage(b.Usage, Usage{}).Bill
	if b.Error != nil {
		made.Failure = BatchFailure{Message: b.Error.Message, CustomID: b.Error.CustomID, Index: b.Error.Index}
	}
	switch b.Status {
	case openrouter.BatchCompleted:
		made.Outcome = BatchCompleted
	case openrouter.BatchFailed:
		made.Outcome = BatchFailed
	case openrouter.BatchExpired, openrouter.BatchCancelled:
		made.Outcome = BatchExpired
	}
	return made
}

// batchReply is an item's result as that of a call with the key that sees its batch.
func batchReply(r openrouter.BatchResult, total events.Bill, key *apiKey) Reply {
	re := Reply{Attempts: 1}
	if a := r.Completion; a != nil {
		re.Answer = &Answer{Model: a.Model, Content: a.Content, Reasoning: a.Reasoning, Refusal: a.Refusal, ToolCalls: a.ToolCalls, FinishReason: a.FinishReason}
		re.Usage = answerUsage(a)
	} else {
		re.Err = classify(r.Err)
		re.Usage = re.Err.usage
	}
	re.Usage.ServiceTier, re.Usage.Key = events.TierBatch, key.end()
	if u := re.Usage.Bill; u.Cost == nil && u.Usage != nil && total.Cost != nil && total.Usage != nil && total.Usage.TotalTokens > 0 {
		re.Usage.Cost = new(*total.Cost * float64(u.Usage.TotalTokens) / float64(total.Usage.TotalTokens))
	}
	return re
}

// WithoutEcho returns a reply whose error quotes nothing of the request.
func (re Reply) WithoutEcho(r *events.Request) Reply {
	if re.Err != nil {
		e := *re.Err
		e.Message = withoutEcho(e.Message, r)
		re.Err = &e
	}
	return re
}

// fingerprint names a key without telling it.
func fingerprint(key *apiKey) string {
	sum := sha256.Sum256([]byte(key.secret))
	return hex.EncodeToString(sum[:6])
}

// inOrder returns the keys, that of a fingerprint first.
func (k *keys) inOrder(fingerprinted string) []*apiKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := slices.Clone(k.all)
	slices.SortStableFunc(all, func(a, b *apiKey) int {
		return cmp.Compare(rank(b, fingerprinted), rank(a, fingerprinted))
	})
	return all
}

func rank(key *apiKey, fingerprinted string) int {
	if fingerprint(key) == fingerprinted {
		return 1
	}
	return 0
}
