package bus

import (
	"errors"
	"strconv"
	"strings"
	"sync"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Bounds of what is stored together. A batch is staged in files of its own, which costs
// about as much as to store 8 to 16 messages one by one where each is flushed to the
// disk, and is worth it beyond.
const (
	groupLeast   = 16
	groupMost    = 256
	groupBytes   = 4 << 20
	groupMessage = 128 << 10 // the largest message of a group
)

// group stores the messages of one stream in rounds, if the stream allows it: those that
// come while one round is under way are the next (group commit). A round goes as an
// atomic batch (ADR-50) if its messages are enough, else they go one by one; so does a
// batch that is refused, which it is as a whole. Each message has its own condition, so
// whoever is told that nobody knows whether it is stored may publish it again, as one
// that was published by itself.
type group struct {
	p        *publisher
	stream   string
	subjects string // what those of the stream begin with

	mu      sync.Mutex
	allowed bool // by the stream; else each message goes at once
	open    int  // messages that were sent and are not answered
	waiting []posted
	under   round // under way
}

// posted is a message that is to be stored, and who is told.
type posted struct {
	m    *nats.Msg
	done func(sequence uint64, err error)
	over <-chan struct{} // closed when nobody waits to be told any more; nil: somebody does
}

// abandoned reports whether nobody waits for the message.
func (w posted) abandoned() bool {
	select {
	case <-w.over:
		return true
	default:
		return false
	}
}

// round is what is stored at the same time; a zero one is none.
type round struct {
	messages []posted
	together bool
	failed   bool // nobody answered
}

// add stores messages. They belong to the group until they are done.
func (g *group) add(messages ...posted) {
	g.mu.Lock()
	if len(g.waiting) == 0 && !g.allowed {
		g.open += len(messages)
		g.mu.Unlock()
		g.singly(messages)
		return
	}
	g.waiting = append(g.waiting, messages...)
	g.next()
}

// answered notes that messages were answered. The last one of a round begins the next,
// before anybody is told.
func (g *group) answered(n int, err error) {
	g.mu.Lock()
	g.open -= n
	g.under.failed = g.under.failed || maybeStored(err)
	g.next()
}

// next begins the next round if none is under way. The lock is held, and released.
func (g *group) next() {
	var now round
	if g.open == 0 {
		now = g.take()
		g.under, g.open = now, len(now.messages)
	}
	g.mu.Unlock()
	if now.together {
		g.commit(now.messages)
	} else {
		g.singly(now.messages)
	}
}

// take returns the next round of what waits. No two of its messages are about one
// request: within a batch the server compares with what is stored before it, so both
// would be. If nobody has answered the last round, it is all of them, one by one: nobody
// waits for several rounds of a server that is away.
func (g *group) take() round {
	if len(g.waiting) == 0 {
		return round{}
	}
	var r round
	requests, bytes := make(map[string]bool, min(len(g.waiting), groupMost)), 0
	var later []posted
	for i, w := range g.waiting {
		if !g.under.failed && (len(r.messages) == groupMost || bytes > groupBytes) {
			later = append(later, g.waiting[i:]...)
			break
		}
		if w.abandoned() {
			continue
		}
		request := w.m.Subject[strings.LastIndexByte(w.m.Subject, '.')+1:]
		if requests[request] && !g.under.failed {
			later = append(later, w)
			continue
		}
		requests[request] = true
		bytes += len(w.m.Data)
		r.messages = append(r.messages, w)
	}
	g.waiting = later
	r.together = len(r.messages) >= groupLeast && g.allowed && !g.under.failed
	return r
}

func (g *group) singly(messages []posted) {
	for _, w := range messages {
		g.p.send(w.m, g, w.done)
	}
}

// Headers of an atomic batch (ADR-50).
const (
	batchID       = "Nats-Batch-Id"
	batchSequence = "Nats-Batch-Sequence"
	batchCommit   = "Nats-Batch-Commit"
)

// commit stores messages as a batch. Only the last one is answered.
func (g *group) commit(messages []posted) {
	id, last := uuid.NewString(), len(messages)-1
	for i, w := range messages[:last] {
		inBatch(w.m, id, i+1)
		if err := g.p.mux.nc.PublishMsg(w.m); err != nil { // without its last one nothing is stored
			g.refused(messages)
			return
		}
	}
	inBatch(messages[last].m, id, last+1)
	messages[last].m.Header[batchCommit] = []string{"1"}
	g.p.mux.ask(messages[last].m, func(reply *nats.Msg, err error) bool {
		var a ack
		if err == nil {
			a, err = readAck(reply.Data)
		}
		switch {
		case err == nil && a.count == uint64(len(messages)):
			g.stored(messages, a.sequence)
		case maybeStored(err):
			g.unanswered(messages, err)
		default:
			g.disallow(err)
			g.refused(messages)
		}
		return false
	})
}

// stored tells everybody the sequences, which are those before the last one's.
func (g *group) stored(messages []posted, last uint64) {
	g.answered(len(messages), nil)
	for i, w := range messages {
		w.done(last-uint64(len(messages)-1-i), nil) //nolint:gosec // at most groupMost
	}
}

// unanswered tells everybody that nobody knows.
func (g *group) unanswered(messages []posted, err error) {
	g.answered(len(messages), err)
	for _, w := range messages {
		w.done(0, classify(err))
	}
}

// refused stores what was refused together one by one, so that each has an answer of
// its own.
func (g *group) refused(messages []posted) {
	for _, w := range messages {
		delete(w.m.Header, batchID)
		delete(w.m.Header, batchSequence)
		delete(w.m.Header, batchCommit)
	}
	g.singly(messages)
}

// inBatch makes a message one of a batch. It has headers: its condition.
func inBatch(m *nats.Msg, id string, sequence int) {
	m.Header[batchID], m.Header[batchSequence] = []string{id}, []string{strconv.Itoa(sequence)}
}

// allow says whether the stream can store messages together.
func (g *group) allow(can bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.allowed = can
}

// disallow notes that the stream cannot do so any more.
func (g *group) disallow(err error) {
	var api *jetstream.APIError
	if errors.As(err, &api) && api.ErrorCode == jsErrNoBatches {
		g.allow(false)
	}
}
