package inprocess_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"gemini-client/events"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// setupCluster is a bench on three servers. Every stream has three copies, and its
// leader is not the last server.
func setupCluster(t *testing.T) (*bench, *servicetest.Cluster) {
	t.Helper()
	cluster := servicetest.RunCluster(t)
	nc, err := nats.Connect(cluster.URLs[0], nats.Timeout(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	or := servicetest.RunOpenRouter(t, simulator.Config{})
	c := defaults(t)
	c.APIKeys, c.BaseURL, c.HTTPAddr = []string{servicetest.Key}, or.URL, ""
	c.NATS.URL, c.Replicas, c.AckWait = cluster.URLs[0], 3, 5*time.Second
	b := &bench{
		Backend: &servicetest.Backend{T: t, NC: nc, JS: js, Names: servicetest.Names()},
		t:       t, openrouter: or, config: c, log: &servicetest.Buffer{}, spans: tracetest.NewInMemoryExporter(),
	}
	b.Until("the cluster places three copies", func() (string, bool) { // its leader has to hear of all servers first
		once, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		_, err := js.CreateStream(once, jetstream.StreamConfig{Name: "PROBE", Subjects: []string{"probe"}, Replicas: 3})
		if err == nil {
			err = js.DeleteStream(once, "PROBE")
		}
		return fmt.Sprint(err), err == nil
	})
	b.provision()
	return b, cluster
}

// stall keeps a stream's copy on the last server from getting anything new.
func (b *bench) stall(c *servicetest.Cluster, stream string) {
	b.t.Helper()
	b.Until("the last server's copy of "+stream+" follows, and is current", func() (string, bool) {
		once, cancel := context.WithTimeout(b.t.Context(), 2*time.Second)
		defer cancel()
		s, err := b.JS.Stream(once, stream)
		if err != nil {
			return err.Error(), false
		}
		info := s.CachedInfo().Cluster
		if info.Leader == "n3" {
			_, _ = b.NC.RequestWithContext(once, "$JS.API.STREAM.LEADER.STEPDOWN."+stream, nil)
			return "n3 leads", false
		}
		for _, p := range info.Replicas {
			if p.Name == "n3" && p.Current {
				c.Stall(info.RaftGroup)
				return "", true
			}
		}
		return fmt.Sprintf("%+v", info), false
	})
}

// One copy of the results lags behind, and a direct get is answered by any copy. A
// worker that sees there no result of a request that was answered does not call for
// it again.
func TestResultThatACopyHasNotYet(t *testing.T) {
	t.Parallel()
	b, cluster := setupCluster(t)
	b.stall(cluster, b.Names.ResponsesStream())
	const requests = 30
	var bodies [][]byte
	for i := range requests {
		bodies = append(bodies, servicetest.Body(servicetest.NewID(), fmt.Sprint("question ", i), nil))
	}
	publish := func() {
		for _, body := range bodies {
			b.Publish(body, nil)
		}
		b.Until("the requests are settled", func() (string, bool) { return "", b.stream(b.Names.RequestsStream()).Msgs == 0 })
	}
	first := b.start()
	publish()
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	b.config.NATS.URL = cluster.URLs[2]
	b.start()
	publish()
	b.lags(b.Names.ResponsesStream(), events.AnyResult(b.Names.ResponseQueue, requestID(t, bodies[0])))
	cluster.Resume()
	b.Idle()
	if n := b.openrouter.Count(); n != requests {
		t.Errorf("calls: got %d, want %d", n, requests)
	}
	if n := len(b.Results()); n != requests {
		t.Errorf("results: got %d, want %d", n, requests)
	}
}

// One copy of the claims lags behind: it has neither the claims nor the heartbeat of
// a worker that lives. Nobody takes that for dead.
func TestHeartbeatThatACopyHasNotYet(t *testing.T) {
	t.Parallel()
	b, cluster := setupCluster(t)
	b.config.FirstTokenTimeout = 10 * time.Minute // the calls are held as long as a busy machine takes for all duplicates
	b.stall(cluster, b.Names.ClaimsStream())
	release := b.openrouter.Hold()
	defer release()
	const requests = 30
	var bodies [][]byte
	b.start()
	for i := range requests {
		bodies = append(bodies, servicetest.Body(servicetest.NewID(), fmt.Sprint("question ", i), nil))
		b.Publish(bodies[i], nil)
	}
	if err := b.openrouter.Wait(b.Context(), func(s simulator.Stats) bool { return s.InFlight == requests }); err != nil {
		t.Fatal(err)
	}
	b.config.NATS.URL = cluster.URLs[2]
	b.start()
	for range 3 { // the first worker takes some of them
		for _, body := range bodies {
			b.Publish(body, nil)
		}
	}
	b.Until("the duplicates are settled", func() (string, bool) {
		return "", b.stream(b.Names.RequestsStream()).Msgs == requests || b.openrouter.Count() > requests
	})
	b.lags(b.Names.ClaimsStream(), b.Names.Claim(b.Names.ResponseQueue, requestID(t, bodies[0])))
	cluster.Resume()
	release()
	b.Idle()
	if n := b.openrouter.Count(); n != requests {
		t.Errorf("calls: got %d, want %d", n, requests)
	}
	if n := len(b.Results()); n != requests {
		t.Errorf("results: got %d, want %d", n, requests)
	}
}

// lags makes sure that direct gets at times miss what a stream's leader has: else
// the test shows nothing.
func (b *bench) lags(stream, subject string) {
	b.t.Helper()
	b.Until("a copy of "+stream+" does not have it", func() (string, bool) {
		s, err := b.JS.Stream(b.Context(), stream)
		if err != nil {
			return err.Error(), false
		}
		m, err := s.GetLastMsgForSubject(b.Context(), subject)
		return fmt.Sprint(m), errors.Is(err, jetstream.ErrMsgNotFound)
	})
}
