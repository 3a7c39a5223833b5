package batch

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"gemini-client/service/bus"
	"gemini-client/service/upstream"
)

// What the bodies of one batch may take together, as they came: less than OpenRouter
// allows, since each gets a custom id and the names of its parameters.
const (
	maxBytes  = upstream.BatchMaxBytes * 9 / 10
	itemExtra = 512
)

// head says up to which mark a group was collected.
type head struct {
	Last     uint64 `json:"last"`
	sequence uint64 // of the record
}

func (r *Runner) head(ctx context.Context, group string) (h head, err error) {
	record, err := r.store.BatchRecord(ctx, heads, group)
	if err != nil || len(record.Body) == 0 {
		return head{sequence: record.Sequence}, err
	}
	err = json.Unmarshal(record.Body, &h)
	h.sequence = record.Sequence
	return h, err
}

// gathered is what waits behind a group's head.
type gathered struct {
	items []Item
	last  uint64
	since time.Time // the first of them waits
	full  bool      // no more fit into a batch
}

func (r *Runner) gather(ctx context.Context, group string, after uint64) (g gathered, err error) {
	most := min(upstream.BatchMaxItems, (r.store.MaxRecord()-itemExtra)/itemBytes)
	bytes := int64(0)
	for g.last = after; ; {
		mark, err := r.store.NextMark(ctx, group, g.last)
		if err != nil || mark == nil {
			return g, err
		}
		bytes += int64(mark.Bytes) + itemExtra
		if g.full = len(g.items) >= most || len(g.items) > 0 && bytes > maxBytes; g.full {
			return g, nil
		}
		if len(g.items) == 0 {
			g.since = mark.Stored
		}
		g.items = append(g.items, Item{Callback: mark.Callback, ID: mark.ID, Retries: mark.Retries})
		g.last = mark.Sequence
	}
}

// collect makes jobs of what waits in a group: of a full batch at once, of a smaller one
// when its first request has waited long enough.
func (r *Runner) collect(ctx context.Context, group string) (next time.Time, err error) {
	for {
		h, err := r.head(ctx, group)
		if err != nil {
			return next, err
		}
		g, err := r.gather(ctx, group, h.Last)
		if err != nil || len(g.items) == 0 {
			return next, err
		}
		if due := g.since.Add(r.maxWait); !g.full && time.Until(due) > 0 {
			return due, nil
		}
		j, err := r.start(ctx, &Job{
			ID: group + "-" + strconv.FormatUint(h.Last, 10), Group: group, Last: g.last, Items: g.items,
		})
		if err != nil {
			return next, err
		}
		h.Last = max(h.Last, j.Last)
		if err := r.putHead(ctx, group, h); err != nil && !bus.Conflict(err) { // another collector moved it: it is read again
			return next, err
		}
	}
}

func (r *Runner) putHead(ctx context.Context, group string, h head) error {
	body, err := json.Marshal(h)
	if err != nil {
		return err
	}
	_, err = r.store.PutBatchRecord(ctx, heads, bus.Record{Name: group, Body: body, Sequence: h.sequence}, liveFor)
	return err
}
