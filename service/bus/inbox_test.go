package bus

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gemini-client/service/config"
	"gemini-client/service/servicetest"
)

// What comes without a slot goes back to its queue at once and not after its ack wait.
// What a pull left behind fills a slot of the next one, which the server's words on the
// former do not end.
func TestMessagesOfAPullThatIsOver(t *testing.T) {
	t.Parallel()
	n := servicetest.RunNATS(t)
	server := n.Connect()
	in := &inbox{nc: n.Connect()}
	defer in.close()
	said := make(chan string, 10)
	acks, err := server.Subscribe("acknowledge.*", func(m *nats.Msg) { said <- m.Subject + " " + string(m.Data) })
	if err != nil {
		t.Fatal(err)
	}
	defer acks.Unsubscribe()
	var taken atomic.Int32
	begin := func(n int) *pull {
		p, err := in.begin(n, func(*nats.Msg) { taken.Add(1) })
		if err == nil {
			err = in.nc.Flush()
		}
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	send := func(p *pull, m nats.Msg) {
		m.Subject = p.to
		if err := server.PublishMsg(&m); err != nil {
			t.Fatal(err)
		}
	}
	first := begin(1)
	send(first, nats.Msg{Reply: "acknowledge.first"})
	send(first, nats.Msg{Reply: "acknowledge.toomany"})
	if got := <-said; got != "acknowledge.toomany -NAK" {
		t.Errorf("of more than were asked for: got %q", got)
	}
	<-first.over
	in.end(first)
	second := begin(2)
	send(first, nats.Msg{Header: nats.Header{"Status": {"404"}}})
	send(first, nats.Msg{Reply: "acknowledge.late"})
	send(second, nats.Msg{Reply: "acknowledge.second"})
	<-second.over
	in.end(second)
	send(second, nats.Msg{Reply: "acknowledge.nopull"})
	if got := <-said; got != "acknowledge.nopull -NAK" {
		t.Errorf("while there is no pull: got %q", got)
	}
	if n := taken.Load(); n != 3 {
		t.Errorf("taken: %d, want 3", n)
	}
}

// A pull whose server is gone is over: the next one knows nothing of it.
func TestPullOfAnotherServer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bus := b.open()
	in := &inbox{nc: bus.conn.Conn}
	defer in.close()
	p, err := in.begin(1, func(*nats.Msg) { t.Error("a message") })
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan error)
	go func() { over <- in.wait(p, time.Hour) }()
	b.nats.Stop()
	b.nats.Start()
	if err := <-over; err != nil {
		t.Error(err)
	}
}

// A queue whose pulls do not wait is not asked before each pull of the other one.
func TestRetriesAreAskedNowAndThen(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.Concurrency = 1 }) // a pull for each message
	bus := b.open()
	var retries, requests atomic.Int32
	for q, n := range map[*queue]*atomic.Int32{bus.queues[0]: &retries, bus.queues[1]: &requests} {
		if _, err := b.NC.Subscribe(q.next, func(*nats.Msg) { n.Add(1) }); err != nil {
			t.Fatal(err)
		}
	}
	b.publish(100)
	b.run(bus, Handlers{Deliver: acknowledge(bus)})
	b.Idle()
	if all, few := requests.Load(), retries.Load(); all < 100 || few < 1 || few > all/2 {
		t.Errorf("%d pulls for requests and %d for retries", all, few)
	}
}

// It is asked in each turn while its pulls are full, or bring less than there is.
func TestQueuesThatAreDue(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		q    *queue
		want bool
	}{
		"its pulls wait":    {&queue{wait: idlePull, asked: time.Now()}, true},
		"never asked":       {&queue{}, true},
		"asked just now":    {&queue{asked: time.Now()}, false},
		"asked a while ago": {&queue{asked: time.Now().Add(-idlePull)}, true},
		"there is more":     {&queue{asked: time.Now(), more: true}, true},
	} {
		if got := tt.q.due(); got != tt.want {
			t.Errorf("%s: due %v", name, got)
		}
	}
}
