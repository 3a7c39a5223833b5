package service

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// claimLife ends claims that nobody releases or takes over: much longer than a
// request is at work.
const claimLife = 24 * time.Hour

// releasedFor is how long an empty message stays, for whoever reads it next.
const releasedFor = time.Second

// instances tells the living processes from the dead. Each keeps one message
// that expires when it is not renewed; all its claims hold as long as that is
// there. So a process with 20,000 calls under way renews one message every
// third of the ack wait, and the server's clock alone decides.
type instances struct {
	broker *broker
	name   string        // ours, new with every start
	life   time.Duration // the shortest ack wait of the consumers

	mu   sync.Mutex
	owed map[string]owedRelease // releases that NATS did not take yet, by subject
}

type owedRelease struct {
	sequence uint64
	lost     func(string)
}

func newInstances(b *broker, name string, life time.Duration) *instances {
	return &instances{broker: b, name: name, life: life, owed: map[string]owedRelease{}}
}

// announce makes us alive. It has to come before the first claim. The error is
// ctx's cause.
func (i *instances) announce(ctx context.Context) error {
	return i.broker.patiently(ctx, func(ctx context.Context) error { return i.renew(ctx) })
}

func (i *instances) renew(ctx context.Context) error {
	m := &nats.Msg{Subject: i.broker.names.Instance(i.name), Data: []byte(i.name)}
	_, err := i.broker.put(ctx, m, jetstream.WithMsgTTL(ttl(i.life)))
	return err
}

// keep renews us every third of a life until stop is called, which also says
// that we are gone. A renewal that NATS does not take is tried again with the
// next one.
func (i *instances) keep(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		beat := time.NewTicker(i.life / 3)
		defer beat.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-beat.C:
				i.beat(ctx)
			}
		}
	}()
	return func() {
		cancel()
		<-done
		i.leave(context.WithoutCancel(ctx))
	}
}

func (i *instances) beat(ctx context.Context) {
	one, cancel := context.WithTimeout(ctx, brokerTimeout)
	defer cancel()
	if err := i.renew(one); err != nil {
		i.broker.log.DebugContext(ctx, "the sign of life was not renewed", "error", err)
		return
	}
	i.settleDebts(one)
}

// leave makes our claims void at once.
func (i *instances) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, brokerTimeout)
	defer cancel()
	i.settleDebts(ctx)
	m := &nats.Msg{Subject: i.broker.names.Instance(i.name)}
	if _, err := i.broker.put(ctx, m, jetstream.WithMsgTTL(releasedFor)); err != nil {
		i.broker.log.DebugContext(ctx, "the sign of life was not taken back and will expire", "error", err)
	}
}

// elsewhere reports whether another process with this name lives.
func (i *instances) elsewhere(ctx context.Context, name string) (bool, error) {
	if name == i.name || name == "" {
		return false, nil
	}
	m, err := i.broker.last(ctx, i.broker.claims, i.broker.names.Instance(name))
	return m != nil && len(m.Data) > 0, err
}

// release gives a claim up, now or as soon as NATS answers. Another message in
// its place at the first try means that somebody took it over, even if that one
// has given it up again.
func (i *instances) release(ctx context.Context, subject string, sequence uint64, lost func(string)) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), brokerTimeout)
	defer cancel()
	owed := owedRelease{sequence, lost}
	switch err := i.tryRelease(ctx, subject, owed); {
	case errors.Is(err, errConflict):
		lost(subject)
	case err != nil:
		i.mu.Lock()
		defer i.mu.Unlock()
		i.owed[subject] = owed
	}
}

func (i *instances) tryRelease(ctx context.Context, subject string, owed owedRelease) error {
	m := &nats.Msg{Subject: subject}
	_, err := i.broker.put(ctx, m, jetstream.WithMsgTTL(releasedFor), jetstream.WithExpectLastSequencePerSubject(owed.sequence))
	return err
}

// retryRelease returns whether nothing is left to do. A conflict may be our own
// first try, whose acknowledgement was lost, so it counts only where another's
// claim stands.
func (i *instances) retryRelease(ctx context.Context, subject string, owed owedRelease) bool {
	err := i.tryRelease(ctx, subject, owed)
	if !errors.Is(err, errConflict) {
		return err == nil
	}
	m, err := i.broker.last(ctx, i.broker.claims, subject)
	if err == nil && m != nil && len(m.Data) > 0 && parseClaim(m.Data).instance != i.name {
		owed.lost(subject)
	}
	return true
}

func (i *instances) settleDebts(ctx context.Context) {
	i.mu.Lock()
	debts := i.owed
	i.owed = map[string]owedRelease{}
	i.mu.Unlock()
	for subject, owed := range debts {
		if !i.retryRelease(ctx, subject, owed) {
			i.mu.Lock()
			if _, newer := i.owed[subject]; !newer {
				i.owed[subject] = owed
			}
			i.mu.Unlock()
		}
	}
}

// ttl is at least JetStream's least (1 s, ADR-43), in whole seconds.
func ttl(life time.Duration) time.Duration {
	return max(time.Second, life.Round(time.Second))
}
