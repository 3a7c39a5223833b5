// Package doctor looks at a deployment with the settings at hand, and says what is right
// and what is not, each wrong thing with a way out.
//
//	             ┌▶ NATS ────────▶ login ▶ JetStream ▶ streams ▶ rights, ack wait, clock
//	settings ────┼▶ OpenRouter ──▶ proxy and base URL ▶ each key ▶ each model
//	             ├▶ telemetry ───▶ each collector
//	             └▶ process ─────▶ memory, time limits
//
// The four columns run beside each other. A check that needs one that has failed is
// skipped, and says why. Each question has a time limit of its own.
//
// It changes nothing: no message is stored, no call is paid for, no span is sent.
// service/bus and service/upstream ask the questions, as the service does; here is what
// an answer means to people.
package doctor
