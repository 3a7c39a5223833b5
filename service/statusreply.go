package service

import (
	"context"
	"encoding/json"
	"os"
	"time"

	"github.com/nats-io/nats.go"
)

// WorkerStatus is what a running worker answers to a request on Names.Status.
// It holds no key and nothing of any request.
type WorkerStatus struct {
	Instance string    `json:"instance"` // as in claims; new with every start
	Hostname string    `json:"hostname"`
	Version  string    `json:"version"`
	Since    time.Time `json:"since"`
	Status
}

// answerStatus answers everybody who asks on Names.Status how this process is,
// until stop is called: on core NATS, for people on call. Every process
// answers for itself.
func (s *Service) answerStatus(ctx context.Context, instance string) (stop func(), err error) {
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "unknown"
	}
	us := WorkerStatus{Instance: instance, Hostname: hostname, Version: s.Version, Since: time.Now().UTC()}
	answer := func(m *nats.Msg) {
		now := us
		now.Status = s.health.status()
		body, err := json.Marshal(now)
		if err == nil && m.Reply != "" {
			err = m.Respond(body)
		}
		if err != nil {
			s.tel.Logger.DebugContext(ctx, "a question for the status was not answered", "error", err)
		}
	}
	asked, err := s.nc.Subscribe(s.config.Names().Status(), answer)
	if err != nil {
		return nil, err
	}
	return func() { _ = asked.Unsubscribe() }, nil // the connection ends soon
}
