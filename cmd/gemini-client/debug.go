package main

import (
	"net/http"
	"net/http/pprof" // its handlers are on http.DefaultServeMux too, which nobody serves
)

// profiles serves what net/http/pprof shows, below /debug/pprof/: stacks, addresses and
// sizes, and no text that a request or an answer has.
func profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}
