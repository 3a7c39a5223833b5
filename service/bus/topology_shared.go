package bus

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
)

// limitsMaxAge is how long a counter of a limit is kept: a window of it lasts half a
// second, and a minute is what it bounds.
const limitsMaxAge = 2 * time.Minute

const (
	// countedIDs is how many increments of one counter of money are kept, 230 bytes each:
	// after a server was killed only the ids of messages that are still stored are known as
	// duplicates. A worker has one or two under way when all are cut off, so this is ample.
	countedIDs = 1000
	// idsKept is for how long the id of an increment is known, so that it counts once. What
	// is in doubt for longer is left out or repeated, as is safe (service/budget).
	idsKept = 10 * time.Minute
	// budgetsMaxAge ends the counters of periods that are over: the longest has 31 days. A
	// counter of a period that is not cannot be so old, so none is begun anew. A TTL, or a
	// rollup, is what JetStream refuses of a counter.
	budgetsMaxAge = 40 * 24 * time.Hour
)

// limitsStream has the calls and tokens of each half second, which all workers count
// together (ADR-49). It is on file, for a stream in memory is gone when its only server
// starts again, and a worker that may not make streams would have none then.
func limitsStream(n events.Names, replicas int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: n.LimitsStream(), Subjects: []string{n.LimitsAll()},
		Description: "calls and tokens a minute, counted by all workers together",
		Retention:   jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Replicas: replicas,
		MaxMsgsPerSubject: 1, MaxAge: limitsMaxAge, AllowMsgCounter: true, AllowDirect: true,
	}
}

// budgetsStream has what is spent and reserved in each period, counted by all workers
// together (ADR-49).
func budgetsStream(n events.Names, replicas int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: n.BudgetsStream(), Subjects: []string{n.BudgetsAll()},
		Description: "what is spent and reserved, counted by all workers together",
		Retention:   jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Replicas: replicas,
		MaxMsgsPerSubject: countedIDs, MaxAge: budgetsMaxAge, Duplicates: idsKept, AllowMsgCounter: true, AllowDirect: true,
	}
}
