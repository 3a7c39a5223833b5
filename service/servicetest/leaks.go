package servicetest

import (
	"testing"

	"go.uber.org/goleak"
)

// VerifyTestMain runs a package's tests and fails if a goroutine outlives them.
//
// Not counted are three of nats-server 2.15: the first message of an atomic batch that
// arrives while the server shuts down opens a store that nobody stops. A worker that is cut
// off amid its last group of results sends such a message. A server that a test forgot to
// stop is still found, by its accept loop.
func VerifyTestMain(m *testing.M) {
	const server = "github.com/nats-io/nats-server/v2/server"
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction(server+".(*fileStore).flushStreamStateLoop"),
		goleak.IgnoreAnyFunction(server+".(*msgBlock).flushLoop"),
		goleak.IgnoreAnyFunction(server+"/ats.Register.func1"))
}
