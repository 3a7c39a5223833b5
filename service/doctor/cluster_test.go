package doctor_test

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/service/bus"
	"gemini-client/service/doctor"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// In a cluster with three copies of each stream a look sees the same and changes as
// little: there the leaders refuse before they propose anything to the others.
func TestCluster(t *testing.T) {
	t.Parallel()
	b := broken(t, simulator.Config{})
	urls := servicetest.RunCluster(t).URLs
	b.o.Config.NATS.URL, b.o.Config.Replicas = strings.Join(urls[:], ","), 3
	nc, err := nats.Connect(urls[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if b.js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	limit := time.After(servicetest.Patience)
	provision := func() error { return bus.NewTopology(b.o.Config, nc.MaxPayload()).Provision(t.Context(), b.js) }
	for err = provision(); err != nil; err = provision() { // until there is a leader
		select {
		case <-again.C:
		case <-limit:
			t.Fatal(err)
		}
	}
	before := b.state()
	r := b.look()
	allRight(t, r)
	want(t, r, "server", doctor.OK, "n1, nats-server")
	want(t, r, "rights", doctor.OK)
	if after := b.state(); !maps.Equal(before, after) {
		t.Errorf("before: %v\nafter: %v", before, after)
	}
}
