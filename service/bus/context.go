package bus

import (
	"context"
	"net"
	"net/url"

	"github.com/nats-io/nats.go"
	"github.com/synadia-io/orbit.go/natscontext"
	"golang.org/x/net/proxy"

	"gemini-client/service/config"
)

// connect begins a connection, with the login, TLS and proxy of the context if there is
// one: natscontext applies our options after the context's own.
func connect(c config.NATS, ours []nats.Option) (*nats.Conn, error) {
	if c.Context == "" {
		return nats.Connect(c.URL, ours...)
	}
	file, err := c.ContextFile()
	if err != nil {
		return nil, err
	}
	said, err := c.ContextSettings()
	if err != nil {
		return nil, err
	}
	first := []nats.Option{func(o *nats.Options) error {
		o.Servers = c.Servers() // NATS_URL, if it is set, goes over the context's
		return nil
	}}
	if c.Creds != "" || c.User != "" {
		first = append(first, withoutLogin)
	}
	if said.SocksProxy != "" {
		first = append(first, nats.SetCustomDialer(socks(said.SocksProxy)))
	}
	nc, _, err := natscontext.Connect(file, append(first, ours...)...)
	return nc, err
}

// withoutLogin drops the context's user: the variables name another one.
func withoutLogin(o *nats.Options) error {
	o.User, o.Password, o.Token, o.Nkey, o.UserJWT, o.SignatureCB = "", "", "", "", nil, nil
	return nil
}

// socks is the URL of a SOCKS proxy. It bounds a dial, as nats.go does without a proxy;
// natscontext's own dialer waits for a proxy that does not answer for as long as that
// likes.
type socks string

func (s socks) Dial(network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), nats.DefaultTimeout)
	defer cancel()
	at, err := url.Parse(string(s))
	if err != nil {
		return nil, withoutURL(err)
	}
	dialer, err := proxy.FromURL(at, new(net.Dialer))
	if err != nil {
		return nil, err
	}
	if with, ok := dialer.(proxy.ContextDialer); ok {
		return with.DialContext(ctx, network, address)
	}
	return dialer.Dial(network, address)
}
