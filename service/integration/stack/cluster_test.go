//go:build integration

package stack

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
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

// peers waits until what the leader of a stream says of the others holds.
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

// The leader of the consumer is killed and comes back, then a follower is cut
// off the network and comes back, while two replicas answer: the promises hold.
func TestCluster(t *testing.T) {
	t.Parallel()
	const slots = 10
	s := newStage(t)
	c := s.cluster()
	up := s.upstream(simulator.Config{})
	env := settings{
		"OPENROUTER_BASE_URL": up.url, "NATS_URL": c.inside, "NATS_REPLICAS": "3",
		"ACK_WAIT": "60s", "WORKER_CONCURRENCY": strconv.Itoa(slots),
	}
	one := s.worker("one", env, on(c.network, "one"))
	two := s.worker("two", env, on(c.network, "two"))
	c.whole()
	l := newLoad(c.backend, up)

	l.ask(100)
	up.called(30)
	leader := c.leader()
	c.servers[leader].kill()
	inFlight := up.InFlight()
	l.ask(100)
	l.answered(150) // two servers go on
	c.servers[leader].start()
	c.whole()

	l.ask(100)
	up.called(230)
	follower := c.follower()
	c.servers[follower].cutOff(c.network, follower, func() {
		inFlight += up.InFlight()
		l.ask(100)
		l.answered(350)
		c.behind(follower)
	})
	c.whole()

	l.settled()
	if again := len(l.again()); again > inFlight {
		t.Errorf("%d calls were made again, want at most the %d that were in flight at the two faults", again, inFlight)
	}
	t.Logf("%s was killed, %s cut off; %d calls for %d requests", leader, follower, up.Count(), len(l.questions))
	c.idle(2)
	one.leave()
	two.leave()
}

// idle waits until so many workers say that they are ready and have nothing to
// do. One whose connection went to the server that was cut off notices that
// only after some pings, and holds its results until then.
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

// follower is a server that leads neither the request queue nor the results.
func (c *cluster) follower() (name string) {
	c.stage.t.Helper()
	leads := map[string]bool{c.leader(): true}
	c.peers("a leader", c.backend.Names.ResponsesStream(), func(peers []*jetstream.PeerInfo) bool {
		for _, p := range peers {
			if !leads[p.Name] {
				name = p.Name
			}
		}
		return name != ""
	})
	return name
}
