package bus

import (
	"context"
	"log/slog"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
)

// Bounds of what is declared of tenants.
const (
	tenantsHistory   = 5        // states of a record that are kept, for people who look what it was
	tenantRecordSize = 16 << 10 // of one record, in bytes
)

// What a permission violation says of a worker that may not hear of declared tenants, or
// not read them, which it tells in its own words (tenants.go).
const (
	tenantsHeard = `Subscription to "$KV.`
	tenantsAsked = "DIRECT.GET.KV_"
)

// consumerName is the durable consumer of a tenant's requests in a lane. It is Durable
// for those on REQUEST_QUEUE itself, as before there were tenants.
func consumerName(tenant string, lane events.Lane) string {
	if tenant == events.DefaultTenant && lane == events.LaneInteractive {
		return Durable
	}
	return string(lane) + "_" + tenant
}

// QueueOf returns whose requests a consumer reads, and in which lane. ok is false if it has
// none of the names that consumers of the service's queues have.
func QueueOf(consumer string) (tenant string, lane events.Lane, ok bool) {
	if consumer == Durable {
		return events.DefaultTenant, events.LaneInteractive, true
	}
	word, tenant, _ := strings.Cut(consumer, "_")
	lane = events.Lane(word)
	return tenant, lane, events.ValidTenant(tenant) && consumerName(tenant, lane) == consumer && (lane == events.LaneBatch || lane == events.LaneInteractive)
}

// Queues are the two queues of a tenant, interactive before batch: a subject and a
// consumer each, in the stream of requests.
func (t Topology) Queues(tenant string) []QueueConsumer {
	return []QueueConsumer{t.queue(tenant, events.LaneInteractive), t.queue(tenant, events.LaneBatch)}
}

func (t Topology) queue(tenant string, lane events.Lane) QueueConsumer {
	return QueueConsumer{
		Stream: t.names.RequestsStream(), Tenant: tenant, Lane: lane,
		Config: queueConsumer(consumerName(tenant, lane), t.names.Requests(tenant, lane), t.ackWait),
	}
}

// defaultQueues are those of the default tenant, which is always there.
func (t Topology) defaultQueues() []QueueConsumer {
	subjects := requestSubjects(t.names)
	return slices.DeleteFunc(t.Queues(events.DefaultTenant), func(q QueueConsumer) bool { return !slices.Contains(subjects, q.Config.FilterSubject) })
}

// spare reports whether the service goes on without a queue: it does without the lane
// and the tenants of which a deployment of an earlier version knows nothing.
func (q QueueConsumer) spare() bool {
	return !q.Retries && consumerName(q.Tenant, q.Lane) != Durable
}

// ensureTenants makes what is missing of the tenants' things where it may: the bucket, and
// the consumer of the slow lane if the stream has its subject. Nothing at start needs
// them. It returns whether it had to wait for NATS.
func (t Topology) ensureTenants(ctx context.Context, conn *Conn, log *slog.Logger) (waited bool) {
	waited, err := ensureSpare(ctx, log, func(ctx context.Context) error {
		if _, err := ensureStream(ctx, conn.JetStream, t.Tenants, true); err != nil {
			return err
		}
		stream, err := conn.JetStream.Stream(ctx, t.names.RequestsStream())
		if err != nil {
			return err
		}
		for _, want := range t.defaultQueues() {
			if want.spare() && slices.Contains(stream.CachedInfo().Config.Subjects, want.Config.FilterSubject) {
				_, err = ensureConsumer(ctx, conn.JetStream, want, true)
			}
		}
		return err
	})
	if err != nil {
		log.InfoContext(ctx, "tenants cannot be declared, or the slow lane not be used, before `gemini-client provision` has run", "error", err)
	}
	return waited
}

// requestSubjects are the subjects of the default tenant's requests. The slow lane is
// left out where RESPONSE_QUEUE lies above it.
func requestSubjects(n events.Names) []string {
	slow := n.Requests(events.DefaultTenant, events.LaneBatch)
	if overlaps(slow, n.ResponsesAll()) {
		return []string{n.RequestQueue}
	}
	return []string{n.RequestQueue, slow}
}

// overlaps reports whether a subject without wildcards is one that a filter matches.
func overlaps(subject, filter string) bool {
	have, want := strings.Split(subject, "."), strings.Split(filter, ".")
	for i, token := range want {
		switch {
		case token == ">":
			return len(have) > i
		case i >= len(have) || token != "*" && token != have[i]:
			return false
		}
	}
	return len(have) == len(want)
}

// tenantsStream is the key-value bucket of the declared tenants, as every NATS client
// makes and finds it (ADR-8): a record a tenant, which a person changes. TTLs end the
// marks of what was removed.
func tenantsStream(n events.Names, replicas int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: n.TenantsStream(), Subjects: []string{n.TenantsAll()},
		Description: "declared tenants",
		Retention:   jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Replicas: replicas,
		MaxMsgsPerSubject: tenantsHistory, MaxMsgSize: tenantRecordSize, AllowDirect: true, AllowRollup: true, AllowMsgTTL: true,
		DenyDelete: true, Discard: jetstream.DiscardNew,
	}
}
