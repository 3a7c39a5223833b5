package bus

import (
	"context"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// size is what is known of a stream's size.
type size struct {
	at           time.Time // of the reading
	bytes, limit int64     // limit is 0 if there is none
}

func (b *backlog) setSize(of string, info jetstream.StreamInfo) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := size{
		at: time.Now(), bytes: int64(info.State.Bytes), limit: max(0, info.Config.MaxBytes), //nolint:gosec // bytes on a disk
	}
	if of == root(b.names.ResponsesAll()) && b.fits(now) {
		b.refused = time.Time{}
	}
	b.sizes[of] = now
}

// setFull notes that a result was refused for want of room, which many can be before
// the next reading.
func (b *backlog) setFull() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refused = time.Now()
}

// fits reports whether a result as large as max_payload fits into a stream.
func (b *backlog) fits(s size) bool {
	return s.limit == 0 || s.bytes+b.conn.MaxPayload()+storedMore <= s.limit
}

// full says why no request should be taken: no result could be stored. It is
// "" if one could, as far as is known. A result in hand may be as large as
// max_payload. A result that was refused is tried again every few seconds, so a
// refusal counts until a reading finds room or none has followed it for readInterval.
func (b *backlog) full(now time.Time) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.sizes[root(b.names.ResponsesAll())]
	if now.Sub(b.refused) >= readInterval && (now.Sub(s.at) > staleAfter || b.fits(s)) {
		return ""
	}
	return "the results are nearly as large as RESULTS_MAX_BYTES lets them be"
}

// evictionsEnd is after which time without an eviction the next one is said
// again.
const evictionsEnd = time.Hour

// evictions notices from one reading of the dead letters to the next that some
// went for want of room.
type evictions struct {
	count  func(context.Context, int64)
	log    *slog.Logger
	before *jetstream.StreamInfo // the last reading; nil before the first
	last   time.Time             // when there were some
}

// observe counts what was evicted since the last reading. largest is the size of
// the largest message of the stream.
func (e *evictions) observe(ctx context.Context, now jetstream.StreamInfo, largest int64) {
	before := e.before
	e.before = &now
	if before == nil {
		return
	}
	n := evicted(before, &now, largest)
	if n == 0 {
		return
	}
	e.count(ctx, n)
	if time.Since(e.last) > evictionsEnd {
		e.log.WarnContext(ctx, "dead letters are evicted: their stream is full, and the oldest go (replay or purge them, or raise DEADLETTERS_MAX_BYTES)",
			"stream", now.Config.Name, "evicted", n, "bytes", now.State.Bytes, "max_bytes", now.Config.MaxBytes)
	}
	e.last = time.Now()
}

// evicted is how many messages went from the front of a stream while others came
// and there was no room. What an operator deletes there in the same seconds
// counts as well.
func evicted(before, now *jetstream.StreamInfo, largest int64) int64 {
	b, n, c := before.State, now.State, now.Config
	switch {
	case !before.Created.Equal(now.Created), n.FirstSeq <= b.FirstSeq, n.LastSeq <= b.LastSeq:
		return 0
	case c.MaxBytes <= 0, int64(n.Bytes)+largest <= c.MaxBytes: //nolint:gosec // bytes on a disk
		return 0 // an eviction takes no more than it needs: there would be less room
	case c.MaxAge > 0 && b.Msgs > 0 && now.TimeStamp.Sub(b.FirstTime) >= c.MaxAge:
		return 0 // they were old
	}
	gone := b.Msgs + (n.LastSeq - b.LastSeq) - n.Msgs
	return int64(min(gone, n.FirstSeq-b.FirstSeq)) //nolint:gosec // a count of messages
}
