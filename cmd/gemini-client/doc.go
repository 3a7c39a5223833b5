// Command gemini-client puts OpenRouter behind NATS JetStream: `serve` answers
// request events, `ask` is the smallest client of it, `provision` applies the
// streams' configuration, `config` explains every variable.
//
// run is the whole program, so that tests drive exactly what a user starts.
// Exit codes: 0 it worked; 1 it did not (a failed result, calls cut off by a
// shutdown, the connection lost for good); 2 something has to be mended first
// (configuration, streams that do not fit, usage).
package main
