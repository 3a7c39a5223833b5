package bus

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
)

// limitsMaxAge is how long a counter of a limit is kept: a window of it lasts half a
// second, and a minute is what it bounds.
const limitsMaxAge = 2 * time.Minute

// countedIDs is how many increments of one counter are remembered: after a server was
// killed only the ids of messages that are still stored are known as duplicates.
const countedIDs = 10_000

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
// together (ADR-49). It has no age, which would begin an idle counter anew.
func budgetsStream(n events.Names, replicas int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: n.BudgetsStream(), Subjects: []string{n.BudgetsAll()},
		Description: "what is spent and reserved, counted by all workers together",
		Retention:   jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Replicas: replicas,
		MaxMsgsPerSubject: countedIDs, AllowMsgCounter: true, AllowDirect: true,
	}
}
