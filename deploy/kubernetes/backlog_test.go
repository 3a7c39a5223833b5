package kubernetes

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// backlog asks a server's monitoring what KEDA's nats-jetstream scaler asks, and
// returns what it makes of the answer: the messages that wait, and those in flight.
func backlog(tb testing.TB, s *server.Server, metadata map[string]string) (lag int) {
	tb.Helper()
	question := url.Values{"acc": {metadata["account"]}, "consumers": {"true"}, "config": {"true"}}
	request, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, "http://"+s.MonitorAddr().String()+"/jsz?"+question.Encode(), http.NoBody)
	if err != nil {
		tb.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		tb.Fatal(err)
	}
	defer response.Body.Close()
	var answer server.JSInfo
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		tb.Fatal(err)
	}
	for _, account := range answer.AccountDetails {
		for _, stream := range account.Streams {
			for _, consumer := range stream.Consumer {
				if account.Name == metadata["account"] && stream.Name == metadata["stream"] && consumer.Name == metadata["consumer"] {
					return int(consumer.NumPending) + consumer.NumAckPending
				}
			}
		}
	}
	tb.Fatalf("no consumer %s of %s in %s", metadata["consumer"], metadata["stream"], metadata["account"])
	return 0
}
