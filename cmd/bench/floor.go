package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// floorConfig is what the floor is told.
type floorConfig struct {
	NATS     string `json:"nats"` // URLs
	Upstream string `json:"upstream"`
	Slots    int    `json:"slots"`
	Text     string `json:"text"` // the content of each result
	Cert     string `json:"cert"` // file with the upstream's certificate, "" for the system's
}

// The floor is the least that can answer requests from JetStream: a bare loop of
// consume, POST, publish, acknowledge. It has none of the service's promises: a
// failure loses the request, a crash answers it twice, nobody sees either.
type floor struct {
	client        *http.Client
	js            jetstream.JetStream
	url           string
	before, after string // of a result, around its id
}

// playFloor answers requests until its standard input ends.
func playFloor(ctx context.Context, args string, serve serveFunc) error {
	var c floorConfig
	if err := json.Unmarshal([]byte(args), &c); err != nil {
		return err
	}
	nc, err := nats.Connect(c.NATS)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	consumer, err := js.Consumer(ctx, requestsStream, durable)
	if err != nil {
		return err
	}
	f := &floor{js: js, url: c.Upstream + "/chat/completions"}
	if f.client, err = floorClient(c); err != nil {
		return err
	}
	f.before, f.after = resultAround(c.Text)
	failed, messages := make(chan error, c.Slots), make(chan jetstream.Msg)
	for range c.Slots {
		go func() { // ends with the process
			for m := range messages {
				if err := f.answer(ctx, m); err != nil {
					failed <- err
					return
				}
			}
		}()
	}
	consuming, err := consumer.Consume(func(m jetstream.Msg) { messages <- m }, jetstream.PullMaxMessages(min(max(c.Slots, 2), 500)))
	if err != nil {
		return err
	}
	defer consuming.Stop()
	return first(failed, func() error { return serve(struct{}{}, nothing) })
}

func floorClient(c floorConfig) (*http.Client, error) {
	t := &http.Transport{MaxIdleConnsPerHost: c.Slots, ForceAttemptHTTP2: true, DisableCompression: true}
	if c.Cert != "" {
		pem, err := os.ReadFile(c.Cert)
		if err != nil {
			return nil, err
		}
		t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool()}
		t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem)
	}
	return &http.Client{Transport: t}, nil
}

// answer is the loop's body.
func (f *floor) answer(ctx context.Context, m jetstream.Msg) error {
	_, rest, _ := bytes.Cut(m.Data(), []byte(`"request_id":"`))
	id := string(rest[:36])
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, f.url, strings.NewReader(chatBody))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+apiKey)
	request.Header.Set("Content-Type", "application/json")
	response, err := f.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // it is read to its end
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the upstream answers %s", response.Status)
	}
	if _, err := f.js.Publish(ctx, completedPrefix+id, []byte(f.before+id+f.after)); err != nil {
		return err
	}
	return m.Ack()
}
