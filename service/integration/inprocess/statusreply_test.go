package inprocess_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"gemini-client/service"
	"gemini-client/service/servicetest"
)

// Every running worker replies with its state, and with no key in it.
func TestWorkersTellTheirStatus(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.start()
	b.start()
	inbox := b.NC.NewInbox()
	replies, err := b.NC.SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.NC.PublishRequest(b.Names.Status(), inbox, nil); err != nil {
		t.Fatal(err)
	}
	instances := map[string]bool{}
	for range 2 {
		m, err := replies.NextMsg(servicetest.Patience)
		if err != nil {
			t.Fatal(err)
		}
		var w service.WorkerStatus
		if err := json.Unmarshal(m.Data, &w); err != nil {
			t.Fatalf("%v: %s", err, m.Data)
		}
		if !w.Ready || w.Slots != 100 || w.Breaker != "closed" || w.Keys["usable"] != 1 || w.Hostname == "" || w.Since.IsZero() {
			t.Errorf("status: %s", m.Data)
		}
		if strings.Contains(string(m.Data), servicetest.Key[len(servicetest.Key)-5:]) {
			t.Errorf("more than the end of a key shows: %s", m.Data)
		}
		instances[w.Instance] = true
	}
	if len(instances) != 2 {
		t.Errorf("instances: %v", instances)
	}
}

// A message without a reply subject is ignored.
func TestStatusWithoutReply(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.start()
	if err := b.NC.PublishMsg(&nats.Msg{Subject: b.Names.Status()}); err != nil {
		t.Fatal(err)
	}
	if got := b.Result(b.Ask("still there?", nil)); got.Result.Content == nil {
		t.Errorf("result: %s", got.Body)
	}
}
