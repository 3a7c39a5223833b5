//go:build integration

package stack

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/testcontainers/testcontainers-go"

	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// cluster is three servers on one network, every stream with three copies.
type cluster struct {
	stage   *stage
	network *testcontainers.DockerNetwork
	servers map[string]*natsServer
	backend *servicetest.Backend
	inside  string // NATS_URL
}

func (s *stage) cluster() *cluster {
	s.t.Helper()
	c := &cluster{stage: s, network: s.network(), servers: map[string]*natsServer{}}
	names := []string{"n1", "n2", "n3"}
	var inside, outside []string
	for _, name := range names {
		server := s.nats(name, clusterConfig(name, names), on(c.network, name))
		c.servers[name] = server
		inside = append(inside, "nats://"+name+":4222")
		outside = append(outside, server.url)
	}
	c.inside = strings.Join(inside, ",")
	c.backend = s.backend(strings.Join(outside, ","))
	s.until("the cluster has streams", func() (string, bool) { // a new cluster needs a moment before it can
		ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Second)
		defer cancel()
		_, err := c.backend.JS.AccountInfo(ctx)
		return fmt.Sprint(err), err == nil
	})
	return c
}

// leader is the name of the server that leads the request queue's consumer.
func (c *cluster) leader() (name string) {
	c.stage.t.Helper()
	c.stage.until("a leader of the consumer", func() (string, bool) {
		ctx, cancel := context.WithTimeout(c.stage.t.Context(), 2*time.Second)
		defer cancel()
		consumer, err := c.backend.JS.Consumer(ctx, c.backend.Names.RequestsStream(), "gemini-client")
		if err != nil {
			return err.Error(), false
		}
		name = consumer.CachedInfo().Cluster.Leader
		return name, c.servers[name] != nil
	})
	return name
}

// streamLeader is the name of the server that leads a stream.
func (c *cluster) streamLeader(stream string) (name string) {
	c.stage.t.Helper()
	c.stage.until("a leader of "+stream, func() (string, bool) {
		ctx, cancel := context.WithTimeout(c.stage.t.Context(), 2*time.Second)
		defer cancel()
		s, err := c.backend.JS.Stream(ctx, stream)
		if err != nil {
			return err.Error(), false
		}
		name = s.CachedInfo().Cluster.Leader
		return name, c.servers[name] != nil
	})
	return name
}

// peers waits until a condition holds of a stream's replicas, as its leader reports
// them.
func (c *cluster) peers(what, stream string, holds func([]*jetstream.PeerInfo) bool) {
	c.stage.t.Helper()
	c.stage.until(what+", for "+stream, func() (string, bool) {
		ctx, cancel := context.WithTimeout(c.stage.t.Context(), 2*time.Second)
		defer cancel()
		s, err := c.backend.JS.Stream(ctx, stream)
		if err != nil {
			return err.Error(), false
		}
		info := s.CachedInfo().Cluster
		seen := "leader " + info.Leader
		for _, p := range info.Replicas {
			seen += fmt.Sprintf(", %s current %t offline %t lag %d", p.Name, p.Current, p.Offline, p.Lag)
		}
		return seen, info.Leader != "" && holds(info.Replicas)
	})
}

// whole waits until every copy of every stream is up to date.
func (c *cluster) whole() {
	c.stage.t.Helper()
	names := c.backend.Names
	for _, stream := range []string{names.RequestsStream(), names.RetriesStream(), names.ResponsesStream(), names.ClaimsStream()} {
		c.peers("all copies are current", stream, func(peers []*jetstream.PeerInfo) bool {
			current := 0
			for _, p := range peers {
				if p.Current && !p.Offline {
					current++
				}
			}
			return current == 2
		})
	}
}

// behind waits until a server has fallen behind in the results.
func (c *cluster) behind(server string) {
	c.stage.t.Helper()
	c.peers(server+" is behind", c.backend.Names.ResponsesStream(), func(peers []*jetstream.PeerInfo) bool {
		for _, p := range peers {
			if p.Name == server && (p.Offline || !p.Current) {
				return true
			}
		}
		return false
	})
}

// The leader of the consumer is killed and started again, which costs no call. Then
// a follower with a worker on it is cut off the network for a time: the worker
// finds another server, and at most what it had in flight is called again.
func TestCluster(t *testing.T) {
	t.Parallel()
	const slots = 10
	s := newStage(t)
	c := s.cluster()
	up := s.upstream(simulator.Config{})
	env := up.serving(slots, time.Minute).and(settings{"NATS_URL": c.inside, "NATS_REPLICAS": "3"})
	one := s.worker("one", env, on(c.network, "one"), s.published("8080/tcp"))
	two := s.worker("two", env, on(c.network, "two"))
	c.whole()
	l := newLoad(c.backend, up)

	release := l.fill(100, 30, slots, one, two)
	leader := c.leader()
	c.servers[leader].kill()
	release()
	l.ask(100)
	l.answered(150) // two servers go on
	c.servers[leader].start()
	c.whole()
	l.answered(200)
	l.paidOnce() // the leases outlast an election, and a worker's way to another server

	c.idle(2)
	c.apart(one, two)
	follower := one.server()
	c.follows(follower)
	release = l.fill(100, 30, slots, one, two)
	c.servers[follower].cutOff(c.network, follower, func() {
		release()
		l.ask(100)
		l.answered(400 - slots)
		c.behind(follower)
		one.moves(follower)
	})
	c.whole()
	l.settled()
	again := l.again()
	for _, before := range again {
		if before.Key != one.key {
			t.Errorf("paid again: call %d of the worker that was not cut off, %s to %s, outcome %q", before.Number, clock(before.At), clock(before.Ended), before.Outcome)
		}
	}
	if len(again) > slots {
		t.Errorf("%d calls were made again, want at most the %d that the worker had in flight when it was cut off", len(again), slots)
	}
	t.Logf("%s was killed, %s cut off with a worker on it; %d calls for %d requests", leader, follower, up.Count(), len(l.questions))
	c.idle(2)
	if status := one.ready(); status != http.StatusOK {
		t.Errorf("/readyz of the worker that was cut off: %d when all is well, want 200", status)
	}
	one.leave()
	two.leave()
}

// apart sees to it that two workers are connected to different servers.
func (c *cluster) apart(one, two *worker) {
	c.stage.t.Helper()
	c.stage.until("the workers are on different servers", func() (string, bool) {
		if one.server() == two.server() {
			two.again()
		}
		return one.server() + ", " + two.server(), one.server() != two.server()
	})
}

// follows sees to it that a server leads neither the request queue's consumer
// nor the results.
func (c *cluster) follows(server string) {
	c.stage.t.Helper()
	heir := slices.Sorted(maps.Keys(c.servers))[0]
	if heir == server {
		heir = "n2"
	}
	names := c.backend.Names
	stepDown := func(who string) (string, bool) {
		body := fmt.Sprintf(`{"placement": {"preferred": %q}}`, heir)
		m, err := c.backend.NC.Request("$JS.API."+who, []byte(body), 2*time.Second)
		if err != nil {
			return err.Error(), false
		}
		return string(m.Data), false
	}
	c.stage.until(server+" is a follower", func() (string, bool) {
		if c.leader() == server {
			return stepDown("CONSUMER.LEADER.STEPDOWN." + names.RequestsStream() + ".gemini-client")
		}
		if c.streamLeader(names.ResponsesStream()) == server {
			return stepDown("STREAM.LEADER.STEPDOWN." + names.ResponsesStream())
		}
		return "", true
	})
}

// idle waits until so many workers report that they are ready and have nothing in
// flight.
func (c *cluster) idle(workers int) {
	c.stage.t.Helper()
	nc := c.backend.NC
	c.stage.until("the workers are idle", func() (string, bool) {
		answers, err := nc.SubscribeSync(nc.NewInbox())
		if err != nil {
			return err.Error(), false
		}
		defer func() { _ = answers.Unsubscribe() }()
		if err := nc.PublishRequest(c.backend.Names.Status(), answers.Subject, nil); err != nil {
			return err.Error(), false
		}
		idle := 0
		for range workers {
			m, err := answers.NextMsg(time.Second)
			if err != nil {
				return fmt.Sprintf("%d of %d: %v", idle, workers, err), false
			}
			var status struct {
				Ready    bool `json:"ready"`
				InFlight int  `json:"in_flight"`
			}
			if json.Unmarshal(m.Data, &status) == nil && status.Ready && status.InFlight == 0 {
				idle++
			}
		}
		return fmt.Sprintf("%d of %d", idle, workers), idle == workers
	})
}
