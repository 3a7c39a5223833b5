// Command gemini-client puts OpenRouter behind NATS JetStream: `serve` answers
// request events, `ask` is a small client of it, `provision` applies the
// streams' configuration, `config` explains every variable, `health` is the
// container's health check.
//
// For people on call: `status` shows queues, workers or one request, `cancel`
// cancels, `pause` and `resume` stop and start the intake, `deadletters` lists,
// shows, replays and purges what failed for good.
//
//	main.go       run, exit codes
//	serve.go          the service with telemetry and HTTP; embedded.go: NATS in this process
//	ask.go            one request and its answer; screen.go prints it
//	admin.go          provision, config, version
//	health.go         is the service in this container alive, or ready
//	admin_client.go   the NATS connection of the commands below
//	status*.go        overview (queues), workers, one request, and how they are printed
//	deadletters*.go   list, purge; select: which dead letters; show; replay
//	cancel.go, pause.go
//	batch.go          files of prompts; batchprogress.go tells how far it is
//	completion.go     what a shell suggests
//
// run is the whole program, so that tests drive exactly what a user starts.
// Exit codes: 0 it worked; 1 it did not (a failed result, calls cut off by a
// shutdown, the connection lost for good); 2 something has to be corrected first
// (configuration, streams that do not fit, usage).
package main
