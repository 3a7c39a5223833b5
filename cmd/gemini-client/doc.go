// Command gemini-client puts OpenRouter behind NATS JetStream: `serve` answers
// request events, `ask` is the smallest client of it, `provision` applies the
// streams' configuration, `config` explains every variable, `health` is the
// container's health check.
//
// For people on call: `status` shows queues, workers or one request, `cancel`
// cancels, `pause` and `resume` close and open the intake, `deadletters` lists,
// shows, replays and purges what failed for good.
//
//	main.go       run, exit codes
//	serve.go      the service and what stands around it; embedded.go: NATS in this process
//	ask.go        one request to its answer; screen.go shows it
//	admin.go      provision, config, version
//	health.go     is the service in this container alive, or ready
//	oncall.go     the connection of the commands below, and what NATS refuses them
//	status*.go    overview (queues), workers, one request, and how they are printed
//	deadletters.go, letters*.go   which dead letters; list, purge, show, replay
//	cancel.go, pause.go
//
// run is the whole program, so that tests drive exactly what a user starts.
// Exit codes: 0 it worked; 1 it did not (a failed result, calls cut off by a
// shutdown, the connection lost for good); 2 something has to be mended first
// (configuration, streams that do not fit, usage).
package main
