package service

import "gemini-client/events"

// What the commands for people on call have to read as the service does.

// Rules are the decoder's rules under this configuration, without a limit of
// size.
func (c *Config) Rules() events.Rules { return c.rules(0) }

// Callbacks are the values that callback_queue may have.
func (c *Config) Callbacks() []string { return c.callbacks() }

// ClaimHolder is what a claim says: which process works on which queue message.
type ClaimHolder struct {
	Stream   string
	Sequence uint64
	Instance string
	Starts   int // of this message that never settled, this one included
}

// ReadClaim reads the body of a claim's message; false if nobody holds it.
func ReadClaim(body []byte) (ClaimHolder, bool) {
	b := parseClaim(body)
	return ClaimHolder{Stream: b.stream, Sequence: b.sequence, Instance: b.instance, Starts: b.starts}, b.instance != ""
}
