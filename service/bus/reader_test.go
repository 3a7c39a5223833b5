package bus

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/service/config"
)

func TestReaderConfiguration(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, callback string
		allow          []string
		filter         string // empty = refused
	}{
		{"backend", "", nil, "gemini.responses.*.*"},
		{"backend", "gemini.responses", nil, "gemini.responses.*.*"},
		{"team_A-1", "gemini.responses.a", []string{"gemini.responses.a", "gemini.responses.b"}, "gemini.responses.a.*.*"},
		{"team-a", "gemini.responses.team-a", nil, "gemini.responses.team-a.*.*"},
		{"team-a", "gemini.responses.team-a.b", nil, ""},
		{"team-a", "gemini.responses.*", nil, ""},
		{"backend", "", []string{"gemini.responses.a"}, ""},
		{"backend", "gemini.claims", nil, ""},
		{"backend", ">", nil, ""},
		{"", "", nil, ""},
		{"back end", "", nil, ""},
		{"back.end", "", nil, ""},
		{"back*", "", nil, ""},
	} {
		settings := defaults(t)
		settings.CallbackAllow = c.allow
		reader, err := Reader(settings, c.name, c.callback)
		if (err == nil) != (c.filter != "") || reader.Config.FilterSubject != c.filter {
			t.Errorf("%q on %q of %v: got filter %q, %v; want %q", c.name, c.callback, c.allow, reader.Config.FilterSubject, err, c.filter)
		}
		if err != nil && !errors.Is(err, config.ErrInvalid) {
			t.Errorf("%q on %q: %v is not ErrInvalid", c.name, c.callback, err)
		}
	}
}

// A reader keeps what was stored while its backend was away.
func TestReaderDeliversWhatWasStored(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provision()
	reader, err := Reader(b.config, "backend", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ProvisionReader(b.Context(), b.JS, reader, false); err != nil {
		t.Fatal(err)
	}
	b.run(b.open(), Handlers{})
	id := b.Ask("hello", nil)
	b.Result(id)
	consumer, err := b.JS.Consumer(b.Context(), b.Names.ResponsesStream(), "backend")
	if err != nil {
		t.Fatal(err)
	}
	m, err := consumer.Next(jetstream.FetchMaxWait(10 * time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if want := "gemini.responses.completed." + id; m.Subject() != want {
		t.Errorf("subject: got %s, want %s", m.Subject(), want)
	}
	if err := m.DoubleAck(b.Context()); err != nil {
		t.Error(err)
	}
}

func TestReaderIsLeftAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provision()
	reader, err := Reader(b.config, "backend", "")
	if err != nil {
		t.Fatal(err)
	}
	theirs := reader
	theirs.Config.MaxAckPending = 7
	if _, err := ProvisionReader(b.Context(), b.JS, theirs, false); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		update bool
		want   int
	}{{false, 7}, {true, 1000}, {false, 1000}} {
		have, err := ProvisionReader(b.Context(), b.JS, reader, c.update)
		if err != nil || have.MaxAckPending != c.want {
			t.Errorf("update %v: got max_ack_pending %d, %v; want %d", c.update, have.MaxAckPending, err, c.want)
		}
	}
}
