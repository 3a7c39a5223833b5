// Package stack puts the promises of the service to the test as it is deployed:
// the image of deploy/Dockerfile, hardened as docker-compose.yml hardens it,
// beside real NATS servers, Jaeger and proxies, each in a container of its own.
//
//	test process                          Docker engine
//	┌───────────────────────────┐  HTTP  ┌────────────────────────────────────┐
//	│ simulator, on the bridge's│◀───────┤ gemini-client      (the image)     │ one or two
//	│ gateway: counts the calls │        │        │ NATS          │ OTLP      │
//	│ backend ──▶ requests      │  NATS  │ ┌──────▼──────┐ ┌──────▼──┐        │
//	│         ◀── results       ├───────▶│ │ nats-server │ │ Jaeger  │ proxy  │ NATS: one, or three (R3)
//	│ faults ──▶ kill, pause, … │        │ └─────────────┘ └─────────┘        │
//	└───────────────────────────┘        └────────────────────────────────────┘
//
// All of it is behind the build tag integration:
//
//	make integration
//	go test -tags integration -v -run TestCluster ./service/integration/stack
//
// Where no Docker engine answers, everything is skipped with a sentence that
// says so; with REQUIRE_DOCKER=1, as CI sets it, that is a failure.
//
// # Images
//
// The service's own image and the simulator's are built once a run, and removed
// at its end (KEEP=1 keeps them). What stays is the builder's cache: the
// engine's own or, without buildx, one image named gemini-client-build:stack.
// The others are the official ones unless NATS_IMAGE, JAEGER_IMAGE,
// PROMETHEUS_IMAGE, PROXY_IMAGE or GO_IMAGE (for the build) name others; what is unset is taken from
// .tools/images.env, which `make images` writes where there is no registry.
//
// # Leftovers
//
// Each test removes its containers, volumes and networks, and so does a run that
// is interrupted, so Testcontainers' reaper, an image more to pull, is off unless
// TESTCONTAINERS_RYUK_DISABLED says otherwise. What a run leaves that panics or
// is killed, the first run removes that starts an hour later; by hand:
//
//	docker rm -fv $(docker ps -aq --filter label=gemini-client.stack.run)
//	docker network prune --filter label=gemini-client.stack.run
//	docker image prune -a --filter label=gemini-client.stack.run
package stack
