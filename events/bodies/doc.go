// Package bodies reads and writes the object store of bodies that are too large for a
// message: bucket GEMINI_BODIES, whose form is that of every NATS client (ADR-20). So an
// object that a backend puts with its client's own object store is read here, and the
// other way round. The library and the service share it; what differs is how long each
// waits for NATS, which the functions in [Store] decide.
//
// nats.go's own object store is not used for two reasons. Its Get makes a push consumer,
// which needs the right to create one: whoever has that can have any stream's messages
// pushed to any subject. Its Delete purges, which needs the right to empty the bucket. Here
// an object is read by direct gets, and deleted by messages that replace it
// (Nats-Rollup): both need no more than to read and to publish.
package bodies
