// Package servicetest gives tests the real parts around the service: an
// embedded nats-server with JetStream on disk, the OpenRouter simulator behind
// HTTP, and a Backend that publishes requests and reads results as the users of
// the service do. Nothing in it waits by sleeping: every wait is for a condition
// and ends with the test's context.
//
// Only tests import it.
package servicetest
