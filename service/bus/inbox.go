package bus

import (
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// inbox receives what pulls bring: all of one intake share a subscription, since one for
// each pull costs nats-server as much as the pull. One pull is under way at a time, and
// has a token of its own in its reply subject. By it the server's last word on a pull
// (its subject) is told from that on an earlier one. A message has its own subject: one
// that an earlier pull has left behind fills a slot like any other.
type inbox struct {
	nc *nats.Conn

	mu    sync.Mutex
	sub   *nats.Subscription
	to    string // the reply subject of all pulls, up to the token
	last  uint64 // token
	under *pull
}

// pull is one that is under way. The inbox's lock guards it.
type pull struct {
	to    string // its reply subject
	take  func(*nats.Msg)
	left  int // messages that may still come
	ended bool
	cut   bool // by a message that did not fit
	err   error
	heard time.Time
	over  chan struct{}
}

// begin has a pull for up to n messages received. Each is handed to take as it comes,
// one at a time, until the pull is over or end is called.
func (in *inbox) begin(n int, take func(*nats.Msg)) (*pull, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.sub == nil {
		to := in.nc.NewInbox() + "."
		sub, err := in.nc.Subscribe(to+"*", in.receive)
		if err == nil {
			err = sub.SetPendingLimits(-1, -1) // a pull bounds what it brings
		}
		if err != nil {
			return nil, err
		}
		in.sub, in.to = sub, to
	}
	in.last++
	in.under = &pull{to: in.to + strconv.FormatUint(in.last, 36), take: take, left: n, heard: time.Now(), over: make(chan struct{})}
	return in.under, nil
}

// end has nothing more received for a pull, and returns how it ended.
func (in *inbox) end(p *pull) (cut bool, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.under = nil
	return p.cut, p.err
}

// close ends the subscription.
func (in *inbox) close() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.sub != nil {
		_ = in.sub.Unsubscribe() // it fails on a closed connection only
	}
}

// receive takes what comes for the pull under way. A message that has no slot goes back
// at once.
func (in *inbox) receive(m *nats.Msg) {
	in.mu.Lock()
	defer in.mu.Unlock()
	p, isMessage := in.under, m.Reply != ""
	switch {
	case p == nil || p.left == 0:
		if isMessage {
			_ = pulled{m, in.nc}.nak(0) // or after its ack wait
		}
		return
	case isMessage:
		p.take(m)
		p.left--
	case m.Subject == p.to:
		p.said(m.Header)
	default:
		return
	}
	if p.heard = time.Now(); p.left == 0 {
		close(p.over)
	}
}

// said notes how the server ended a pull. What it has delivered by then belongs to the
// pull, and may come behind.
func (p *pull) said(h nats.Header) {
	unused, err := pullStatus(h, p.left)
	if err != nil {
		unused, p.err = p.left, err
	}
	p.cut = h.Get("Description") == tooManyBytes
	p.ended, p.left = true, p.left-unused
}

// wait returns when a pull is over. The error is that nothing was heard for a time,
// unless the server has ended the pull or is another one by now, which knows nothing of
// it.
func (in *inbox) wait(p *pull, within time.Duration) error {
	const look = time.Second
	limit := time.NewTimer(min(within, look))
	defer limit.Stop()
	on := in.nc.Stats().Reconnects
	for {
		select {
		case <-p.over:
			return nil
		case <-limit.C:
		}
		in.mu.Lock()
		silent, ended := time.Since(p.heard), p.ended
		in.mu.Unlock()
		switch {
		case in.nc.Stats().Reconnects != on:
			return nil
		case silent >= within && ended:
			return nil
		case silent >= within:
			return fmt.Errorf("no answer within %s: the consumer is changing its leader, or this NATS user may not pull", within)
		}
		limit.Reset(min(within-silent, look))
	}
}
