package bus

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"gemini-client/service/config"
	"gemini-client/service/servicetest"
)

// A worker is a NATS micro service, and answers on the subject of the status as before.
func TestWorkerIsDiscovered(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bus := b.open()
	stop, err := bus.answerStatus(t.Context(), "v1.2.3", func() any { return map[string]int{"slots": 7} })
	if err != nil {
		t.Fatal(err)
	}
	if err := bus.conn.Flush(); err != nil {
		t.Fatal(err)
	}
	info := askFor[micro.Info](t, b, "$SRV.INFO."+Durable)
	if info.Version != "1.2.3" || info.Metadata["instance"] != bus.Instance() || info.Metadata["requests"] != b.Names.RequestQueue {
		t.Errorf("info: got %+v, want version, instance and subjects", info)
	}
	if len(info.Endpoints) != 1 || info.Endpoints[0].Name != "status" || info.Endpoints[0].Subject != b.Names.Status() || info.Endpoints[0].QueueGroup != "" {
		t.Errorf("endpoints: got %+v, want the status of each worker", info.Endpoints)
	}
	if got := askFor[map[string]int](t, b, b.Names.Status()); got["slots"] != 7 {
		t.Errorf("status: got %v, want what the worker says", got)
	}
	stats := askFor[micro.Stats](t, b, "$SRV.STATS")
	if len(stats.Endpoints) != 1 || stats.Endpoints[0].NumRequests != 1 || string(stats.Endpoints[0].Data) != `{"slots":7}` {
		t.Errorf("stats: got %+v, want one question and the status", stats.Endpoints)
	}
	if ping := askFor[micro.Ping](t, b, "$SRV.PING"); ping.Name != Durable {
		t.Errorf("ping: got %+v", ping)
	}
	stop()
	b.Until("nobody answers", func() (string, bool) {
		_, err := b.NC.Request(b.Names.Status(), nil, 5*time.Second)
		return "somebody does", err != nil && strings.Contains(err.Error(), "no responders")
	})
}

func askFor[T any](t *testing.T, b *bench, subject string) (answer T) {
	t.Helper()
	m, err := b.NC.Request(subject, nil, servicetest.Patience)
	if err != nil {
		t.Fatalf("%s: %v", subject, err)
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		t.Fatalf("%s: %v", subject, err)
	}
	return answer
}

// Where the worker's user may not subscribe below $SRV it works all the same, and nobody
// is warned.
func TestWorkerIsNotDiscovered(t *testing.T) {
	t.Parallel()
	n := servicetest.RunNATS(t, func(o *server.Options) {
		unseen := &server.Permissions{Subscribe: &server.SubjectPermission{Deny: []string{"$SRV.>"}}}
		o.Users = []*server.User{{Username: "all", Password: "all"}, {Username: "unseen", Password: "unseen", Permissions: unseen}}
	})
	n.As = []nats.Option{nats.UserInfo("all", "all")}
	b := setupOn(t, n, func(c *config.Config) { c.User, c.Password = "unseen", "unseen" })
	bus := b.open()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stop, err := bus.answerStatus(ctx, "", func() any { return map[string]int{"slots": 7} })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	b.Until("the log says so", func() (string, bool) {
		text := b.log.String()
		return text, strings.Contains(text, "nats micro does not find the worker")
	})
	if got := askFor[map[string]int](t, b, b.Names.Status()); got["slots"] != 7 {
		t.Errorf("status: got %v, want what the worker says", got)
	}
	if lines := strings.Split(b.log.String(), "\n"); slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, "WARN") && strings.Contains(line, "SRV") }) {
		t.Errorf("a missing right that nothing needs is no warning:\n%s", b.log.String())
	}
}

// A micro service has a semantic version, which not every build has.
func TestVersionOfTheService(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bus := b.open()
	for given, want := range map[string]string{
		"v1.2.3": "1.2.3", "v0.0.0-20261128040000-4974dac00000+dirty": "0.0.0-20261128040000-4974dac00000+dirty",
		"": "0.0.0-devel", "(devel)": "0.0.0-devel", "4974dac": "0.0.0-devel", "1.2": "0.0.0-devel",
	} {
		stop, err := bus.answerStatus(t.Context(), given, func() any { return nil })
		if err != nil {
			t.Fatalf("%q: %v", given, err)
		}
		if err := bus.conn.Flush(); err != nil {
			t.Fatal(err)
		}
		if got := askFor[micro.Info](t, b, "$SRV.INFO").Version; got != want {
			t.Errorf("%q: got %s, want %s", given, got, want)
		}
		stop()
		if err := bus.conn.Flush(); err != nil {
			t.Fatal(err)
		}
	}
}
