package bus

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/service/config"
	"gemini-client/service/servicetest"
)

// bridge answers JetStream's questions under another prefix, as the server does;
// heard is called with each of them and may change its answer.
func (b *bench) bridge(prefix string, heard func(question string, answer []byte) []byte) {
	_, err := b.NC.Subscribe(prefix+".>", func(m *nats.Msg) {
		question := strings.TrimPrefix(m.Subject, prefix+".")
		answer, err := b.NC.Request("$JS.API."+question, m.Data, requestTimeout)
		if err == nil {
			err = m.RespondMsg(&nats.Msg{Header: answer.Header, Data: heard(question, answer.Data)})
		}
		if err != nil {
			b.t.Errorf("%s: %v", m.Subject, err)
		}
	})
	if err != nil {
		b.t.Error(err)
	}
}

// A stream that gets further copies while the service runs is asked through its
// leader from then on: a direct get may be answered by a copy that lags.
func TestStreamsThatGetCopies(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.APIPrefix = "bridge" })
	var copies atomic.Bool
	var last atomic.Value
	b.bridge("bridge", func(question string, answer []byte) []byte {
		last.Store(question)
		if copies.Load() {
			return bytes.ReplaceAll(answer, []byte(`"num_replicas":1`), []byte(`"num_replicas":3`))
		}
		return answer
	})
	bus := b.open()
	for _, want := range []string{"DIRECT.GET.", "STREAM.MSG.GET.", "DIRECT.GET."} {
		copies.Store(want == "STREAM.MSG.GET.")
		bus.backlog.read(t.Context())
		for stream, look := range map[string]func() error{
			"GEMINI_RESPONSES": func() error {
				_, err := bus.results.lookup(t.Context(), "gemini.responses", servicetest.NewID())
				return err
			},
			"GEMINI_RETRIES": func() error {
				_, err := bus.schedules.last(t.Context(), "gemini.responses", servicetest.NewID())
				return err
			},
		} {
			if err := look(); err != nil {
				t.Fatal(err)
			}
			if got := last.Load().(string); !strings.HasPrefix(got, want+stream) {
				t.Errorf("asked %s, want %s%s", got, want, stream)
			}
		}
	}
}

// However many requests are looked up at once, few of the messages that are found are
// in memory at a time: each may be as large as max_payload.
func TestLooksAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &streams{looks: make(chan struct{}, looksAtOnce)}
		var open, peak atomic.Int64
		look := s.bounded(func(context.Context) (*jetstream.RawStreamMsg, error) {
			peak.Store(max(peak.Load(), open.Add(1)))
			<-time.After(time.Second)
			open.Add(-1)
			return nil, nil
		})
		var looks sync.WaitGroup
		for range 10 * looksAtOnce {
			looks.Go(func() {
				if _, err := look(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		looks.Wait()
		if peak.Load() != looksAtOnce {
			t.Errorf("%d at once, want %d", peak.Load(), looksAtOnce)
		}
	})
}
