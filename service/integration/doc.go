// Package integration puts the promises of the service to the test with real
// processes: gemini-client is built and killed, nats-server runs as a process
// of its own, alone or as a cluster of three, and is killed, restarted and kept
// away. Only the upstream lives in the test: the OpenRouter simulator, whose
// record of calls shows what was paid for.
//
//	test process                         child processes
//	┌──────────────────────────┐ HTTP  ┌──────────────────────┐
//	│ simulator ◀──────────────┼───────┤ gemini-client serve  │ one to four
//	│ backend ──▶ requests     │       └──────────┬───────────┘
//	│         ◀── results      │ NATS  ┌──────────▼───────────┐
//	│ faults ──▶ kill, stop, … ├──────▶│ nats-server          │ one, or three (R3)
//	└──────────────────────────┘       └──────────────────────┘
//
// Each gemini-client reaches NATS through TCP forwarders of its own in the test
// process, which cut it off or freeze what it sends.
//
// All of it is behind the build tag integration:
//
//	make integration             the figures and three seeds of chaos
//	make chaos SEEDS=100         one hundred seeds
//	make chaos SEED=17           one seed again
//	BUDGET_REQUESTS=9000 go test -tags integration -run TestBudget -v ./service/integration
//	BOMBS=each go test -tags integration -run TestBombs -v ./service/integration
//
// Chaos (chaos_test.go) plays a scenario that is derived from its seed and then
// reads the promises off the streams and the simulator. It draws kills, restarts
// and absences, cuts between workers and NATS, upstream faults and edge pages,
// cancellations and hostile messages. The figures (figures_*_test.go) are fixed scenarios with the bounds that were promised
// for them; they log what they measured.
// budget_test.go and tenants_test.go do the same with what tenants share.
//
// The nats-server is this test binary, started again with an environment
// variable that makes TestMain run a server and nothing else. The service is
// built twice: plain, so that it starts fast after each of the many kills, and
// with the race detector, which every third seed uses; a race that it reports
// fails the test.
package integration
