package upstream_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gemini-client/service/openrouter"
	"gemini-client/service/upstream"
	"gemini-client/telemetry"
)

// BenchmarkAnswer measures a call, from a request event to the answer of 20 chunks, beside the floor: an http.Client that sends
// the same body and only finds the texts in the same stream. cpu-us/op is the CPU of the process, in which the upstream runs too.
func BenchmarkAnswer(b *testing.B) {
	url := rawUpstream(b, streamOf(20))
	for _, bb := range []struct {
		name  string
		times int // calls at once, for each CPU
	}{{"alone", 0}, {"256", 128}} {
		b.Run("floor/"+bb.name, func(b *testing.B) { measure(b, bb.times, bareCall(b, url)) })
		b.Run("call/"+bb.name, func(b *testing.B) { measure(b, bb.times, answering(b, url)) })
	}
}

// measure runs calls one after the other, or so many at once.
func measure(b *testing.B, times int, call func() error) {
	b.Helper()
	b.ReportAllocs()
	began := cpuTime(b)
	n := 0
	if times == 0 {
		for b.Loop() {
			n++
			if err := call(); err != nil {
				b.Fatal(err)
			}
		}
	} else {
		n = b.N
		b.SetParallelism(times)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := call(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	b.ReportMetric(float64((cpuTime(b)-began).Microseconds())/float64(n), "cpu-us/op")
}

// cpuTime is what this process has used.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// answering is a call as the service makes it, with metrics and without traces.
func answering(b *testing.B, url string) func() error {
	b.Helper()
	tel, err := telemetry.Setup(b.Context(), telemetry.Config{LogFormat: "json", Output: io.Discard})
	if err != nil {
		b.Fatal(err)
	}
	caller, err := upstream.New(settings(b, url), tel)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		caller.Close()
		_ = tel.Shutdown(context.Background())
	})
	ctx := upstream.WithRoom(b.Context(), func(context.Context, int) error { return nil })
	r := request(strings.Repeat("Why is the sky blue? ", 20))
	return func() error {
		re := caller.Answer(ctx, &r, func(int, string) {})
		if re.Err != nil || len(re.Answer.Content) != 20*len(piece) || re.Usage.Cost == nil {
			return fmt.Errorf("got %+v", re)
		}
		return nil
	}
}

// bareCall is the floor.
func bareCall(b *testing.B, url string) func() error {
	b.Helper()
	transport, err := openrouter.NewTransport("", "")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport}
	body := []byte(`{"max_tokens":8192,"messages":[{"role":"user","content":"` + strings.Repeat("Why is the sky blue? ", 20) +
		`"}],"model":"google/gemini-2.5-flash","stream":true,"temperature":0.7,"top_k":40,"top_p":0.95}`)
	return func() error {
		req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, url+"/chat/completions", bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer key")
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		var content []byte
		lines := bufio.NewScanner(resp.Body)
		for lines.Scan() {
			if _, text, found := bytes.Cut(lines.Bytes(), []byte(`"content":"`)); found {
				content = append(content, text[:bytes.IndexByte(text, '"')]...)
			}
		}
		if len(content) != 20*len(piece) {
			return fmt.Errorf("got %q", content)
		}
		return lines.Err()
	}
}

const piece = " and so on"

// streamOf is a response of so many chunks, each flushed by itself, as OpenRouter writes it.
func streamOf(chunks int) string {
	const head = `{"id":"gen-1773273600-aBcDeFgHiJkLmNoPqRsT","object":"chat.completion.chunk","created":1773273600,"model":"google/gemini-2.5-flash","provider":"Google","choices":`
	var body strings.Builder
	send := func(event string) { fmt.Fprintf(&body, "%x\r\ndata: %s\n\n\r\n", len(event)+len("data: \n\n"), event) }
	for range chunks {
		send(head + `[{"index":0,"delta":{"role":"assistant","content":"` + piece + `"},"finish_reason":null,"native_finish_reason":null,"logprobs":null}]}`)
	}
	send(head + `[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":"stop","native_finish_reason":"STOP","logprobs":null}]}`)
	send(head + `[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":"stop","native_finish_reason":"STOP","logprobs":null}],` +
		`"usage":{"prompt_tokens":120,"completion_tokens":60,"total_tokens":180,"cost":0.000186,"is_byok":false,` +
		`"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"cost_details":{"upstream_inference_cost":null,` +
		`"upstream_inference_prompt_cost":0.000036,"upstream_inference_completions_cost":0.00015},"completion_tokens_details":{"reasoning_tokens":0,"image_tokens":0}}}`)
	send("[DONE]")
	return "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nDate: Fri, 27 Nov 2026 12:00:00 GMT\r\nX-Generation-Id: gen-1773273600-aBcDeFgHiJkLmNoPqRsT\r\n" +
		"Transfer-Encoding: chunked\r\n\r\n" + body.String() + "0\r\n\r\n"
}

// rawUpstream answers every request with the same bytes, at once, and at next to no cost.
func rawUpstream(b *testing.B, response string) (url string) {
	b.Helper()
	listener, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { respond(conn, []byte(response)) })
		}
	})
	b.Cleanup(func() {
		_ = listener.Close()
		serving.Wait()
	})
	return "http://" + listener.Addr().String()
}

func respond(conn net.Conn, response []byte) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	length := 0
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return
		}
		if value, is := bytes.CutPrefix(line, []byte("Content-Length: ")); is {
			length, _ = strconv.Atoi(string(bytes.TrimSpace(value)))
		}
		if len(line) > len("\r\n") {
			continue
		}
		if _, err := r.Discard(length); err != nil {
			return
		}
		if _, err := conn.Write(response); err != nil {
			return
		}
	}
}
