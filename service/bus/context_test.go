package bus

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"gemini-client/service/config"
	"gemini-client/service/servicetest"
)

// inContext are the settings of a context with these fields.
func inContext(t *testing.T, fields map[string]string) config.NATS {
	t.Helper()
	file := filepath.Join(t.TempDir(), "test.json")
	text, err := json.Marshal(fields)
	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := config.Load("", file)
	if err != nil {
		t.Fatal(err)
	}
	return c.NATS
}

// A context's login is used, unless the settings have their own.
func TestContextLogin(t *testing.T) {
	t.Parallel()
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := pair.Seed()
	public, err2 := pair.PublicKey()
	seedFile := filepath.Join(t.TempDir(), "user.nk")
	if err := errors.Join(err, err2, os.WriteFile(seedFile, seed, 0o600)); err != nil {
		t.Fatal(err)
	}
	token := servicetest.RunNATS(t, func(o *server.Options) { o.Authorization = "hunter2" })
	users := servicetest.RunNATS(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "me", Password: "hunter2"}, {Username: "you", Password: "secret"}}
		o.Nkeys = []*server.NkeyUser{{Nkey: public}}
	})
	for name, c := range map[string]config.NATS{
		"token": inContext(t, map[string]string{"url": token.URL, "token": "hunter2"}),
		"user":  inContext(t, map[string]string{"url": users.URL, "user": "me", "password": "hunter2"}),
		"nkey":  inContext(t, map[string]string{"url": users.URL, "nkey": seedFile}),
	} {
		connects(t, name, c)
		c.User, c.Password, c.URL = "you", "secret", users.URL
		connects(t, "another login than "+name, c)
	}
	c := inContext(t, map[string]string{"url": "nats://127.0.0.1:1", "user": "me", "password": "hunter2", "inbox_prefix": "_MINE", "jetstream_domain": "hub"})
	c.URL = users.URL
	conn := connects(t, "another server", c)
	if conn.Opts.CustomDialer != nil || conn.Opts.InboxPrefix != "_MINE" || conn.JetStream.Options().APIPrefix != "$JS.hub.API" || conn.api("INFO") != "$JS.hub.API.INFO" {
		t.Errorf("inbox %s, API %s", conn.Opts.InboxPrefix, conn.JetStream.Options().APIPrefix)
	}
}

func connects(t *testing.T, what string, c config.NATS) *Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), servicetest.Patience)
	defer cancel()
	conn, err := Connect(ctx, c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// The proxy of a context is used. One that never answers holds nobody up.
func TestContextProxy(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := servicetest.RunNATS(t)
	var open sync.WaitGroup
	var proxied atomic.Int64
	var silent atomic.Bool
	open.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			open.Go(func() {
				defer client.Close()
				if silent.Load() {
					_, _ = io.Copy(io.Discard, client) // until the client gives up
					return
				}
				proxied.Add(1)
				socksTo(client, n.URL[len("nats://"):])
			})
		}
	})
	t.Cleanup(func() { _ = listener.Close(); open.Wait() })
	c := inContext(t, map[string]string{"url": "nats://nowhere.invalid:4222", "socks_proxy": "socks5://" + listener.Addr().String()})
	connects(t, "proxy", c).Close()
	if proxied.Load() == 0 {
		t.Error("the proxy was not asked")
	}
	silent.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if conn, err := Connect(ctx, c, slog.New(slog.DiscardHandler)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, %v; want the time limit", conn, err)
	}
}

// socksTo is a SOCKS5 server (RFC 1928) that connects everybody to one address.
func socksTo(client net.Conn, address string) {
	head := make([]byte, 262)
	if _, err := io.ReadFull(client, head[:3]); err != nil { // version, one method, none
		return
	}
	_, _ = client.Write([]byte{5, 0})
	if _, err := io.ReadFull(client, head[:5]); err != nil { // version, connect, 0, a name, its length
		return
	}
	_, _ = io.ReadFull(client, head[:int(head[4])+2])
	server, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	_, _ = client.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(server, client); _ = server.Close() })
	both.Go(func() { _, _ = io.Copy(client, server); _ = client.Close() })
	both.Wait()
}
