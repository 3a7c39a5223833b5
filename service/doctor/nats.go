package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"gemini-client/service/bus"
	"gemini-client/service/config"
)

// natsTime bounds all questions to NATS together; each has 5 seconds.
const natsTime = 30 * time.Second

// The checks of NATS, by name.
const (
	nameServer    = "server"
	nameLogin     = "login"
	nameJetStream = "JetStream"
	nameRights    = "rights"
	nameStreams   = "streams"
	nameConsumers = "consumers"
	nameAckWait   = "ack wait"
	nameClock     = "clock"
)

// leastVersion of nats-server: schedules, counters and atomic batches came with it.
var leastVersion = []int{2, 12} //nolint:gochecknoglobals // constant

func (d *doctor) nats(ctx context.Context, c *column) {
	ctx, cancel := context.WithTimeout(ctx, natsTime)
	defer cancel()
	if d.Invalid != nil && d.Config.CheckServers() != nil {
		c.skipAll(invalidText, nameServer, nameLogin, nameJetStream, nameStreams, nameConsumers, nameAckWait, nameRights, nameClock)
		return
	}
	conn := d.connect(ctx, c)
	if conn == nil {
		c.skipAll("there is no connection to NATS", nameJetStream, nameStreams, nameConsumers, nameAckWait, nameRights, nameClock)
		return
	}
	defer conn.Close()
	switch err := conn.HearsInbox(ctx); {
	case errors.Is(err, bus.ErrInbox):
		c.add(Fail, nameRights, "set NATS_INBOX_PREFIX to what this user may subscribe to, such as _INBOX_worker in deploy/nats/nats.conf", "NATS_INBOX_PREFIX=%s: no answer would arrive: %s", d.Config.InboxPrefix, d.said(err))
		c.skipAll("no answer of NATS would arrive", nameJetStream, nameStreams, nameConsumers, nameAckWait, nameClock)
		return
	case err != nil:
		c.add(Fail, nameJetStream, "look at nats-server's log and load; restart it if that lasts", "the server lets us in and then does not answer: %s", d.said(err))
		c.skipAll("NATS does not answer", nameStreams, nameConsumers, nameAckWait, nameRights, nameClock)
		return
	}
	var seen []bus.Seen
	if d.Invalid == nil && d.As != bus.RoleBackend {
		seen = d.topology(ctx, conn).Look(ctx, conn)
	}
	if !d.jetStream(ctx, c, conn, seen) {
		c.skipAll("JetStream does not answer", nameStreams, nameConsumers, nameAckWait, nameRights, nameClock)
		return
	}
	switch {
	case d.Invalid != nil:
		c.skipAll(invalidText, nameStreams, nameConsumers, nameAckWait, nameRights, nameClock)
		return
	case d.As == bus.RoleBackend:
		c.skipAll("a backend sees no streams", nameStreams, nameConsumers, nameAckWait)
	default:
		d.streams(c, seen)
	}
	d.rights(ctx, c, conn, seen)
	d.clock(ctx, c, conn, seen)
}

// topology has the consumers of declared tenants too, where this user sees them.
func (d *doctor) topology(ctx context.Context, conn *bus.Conn) bus.Topology {
	t := bus.NewTopology(d.Config, conn.MaxPayload())
	if d.As != bus.RoleAdmin {
		return t
	}
	_ = conn.Do(ctx, d.Config.Names().TenantsStream(), func(ctx context.Context) error {
		all, err := t.WithTenants(ctx, conn.JetStream)
		if err == nil {
			t = all
		}
		return err
	})
	return t
}

// reached is what came of one server of NATS_URL.
type reached struct {
	server string
	conn   *bus.Conn
	err    error
}

// connect returns a connection to the first server that lets us in, nil if none does.
func (d *doctor) connect(ctx context.Context, c *column) *bus.Conn {
	servers := d.Config.Servers()
	all := make([]reached, len(servers))
	var wg sync.WaitGroup
	for i, server := range servers {
		wg.Go(func() {
			one := d.Config.NATS
			one.URL = server
			conn, err := bus.ConnectOnce(one)
			all[i] = reached{d.serverName(i), conn, err}
		})
	}
	wg.Wait()
	var conn *bus.Conn
	var away, refused []string
	for _, r := range all {
		switch {
		case r.err == nil && conn == nil:
			conn = r.conn
		case r.err == nil:
			r.conn.Close()
		case errors.Is(r.err, bus.ErrLogin):
			refused = append(refused, r.server+": "+d.said(r.err))
		default:
			away = append(away, r.server+": "+d.said(r.err))
		}
	}
	d.server(ctx, c, conn, found{away, len(refused)})
	d.login(c, conn, refused)
	return conn
}

// serverName is a server of NATS_URL without its login. A comma in a password makes
// servers of its pieces, which only the list as a whole hides.
func (d *doctor) serverName(i int) string {
	names, servers := strings.Split(config.MaskURL(d.Config.NATS.URL), ","), len(d.Config.Servers())
	if len(names) != servers {
		return fmt.Sprintf("server %d of %d", i+1, servers)
	}
	return strings.TrimSpace(names[i])
}

// found is what came of the other servers.
type found struct {
	away    []string
	refused int // the login
}

func (d *doctor) server(ctx context.Context, c *column, conn *bus.Conn, others found) {
	away := others.away
	start := "is nats-server running, and does NATS_URL name it as it is seen from here? For TLS: NATS_TLS_CA, NATS_TLS_FIRST. For one machine: `gemini-client serve --embedded`"
	switch {
	case conn == nil && others.refused == 0:
		c.addDetails(Fail, nameServer, start, away, "NATS is not reachable (%s)", d.Config.Where())
		return
	case conn == nil:
		c.ok(nameServer, "answers (%s)", d.Config.Where())
		return
	}
	encrypted := "not encrypted"
	if state, err := conn.TLSConnectionState(); err == nil {
		encrypted = tls.VersionName(state.Version)
	}
	what := fmt.Sprintf("%s, nats-server %s, %s", conn.ConnectedServerName(), conn.ConnectedServerVersion(), encrypted)
	if rtt, err := conn.RoundTrip(ctx); err == nil {
		what += ", round trip " + rounded(rtt)
	}
	switch {
	case older(conn.ConnectedServerVersion(), leastVersion):
		c.add(Fail, nameServer, "upgrade nats-server to 2.12 or later", "%s: too old", what)
	case len(away) > 0:
		c.addDetails(Warn, nameServer, "start it again, or take it out of NATS_URL", away, "%s; %d of %d servers are not reachable", what, len(away), len(d.Config.Servers()))
	default:
		c.ok(nameServer, "%s", what)
	}
}

func (d *doctor) login(c *column, conn *bus.Conn, refused []string) {
	who := "without a login"
	wayOut := "this server wants a login: set NATS_USER and NATS_PASSWORD_FILE, or NATS_CREDS"
	switch n := d.Config.NATS; {
	case n.Creds != "":
		who, wayOut = "with NATS_CREDS="+n.Creds, "NATS_CREDS: is it a file of this server's operator and account, and neither expired nor revoked?"
	case n.User != "":
		who = "as " + n.User
		wayOut = "the user or the password is wrong: correct NATS_USER and NATS_PASSWORD (or the file of NATS_PASSWORD_FILE), or this user in the server's configuration"
	case n.Context != "":
		who, wayOut = "with the context "+n.Context, "correct the login of this context (nats context edit)"
	case strings.Contains(n.URL, "@"):
		who, wayOut = "with the login of NATS_URL", "the user, password or token in NATS_URL is wrong"
	}
	switch {
	case conn == nil && len(refused) == 0:
		c.skip(nameLogin, "no server was reached")
	case conn == nil:
		c.addDetails(Fail, nameLogin, wayOut, refused, "NATS refuses the login %s", who)
	case len(refused) > 0:
		c.addDetails(Fail, nameLogin, "let the servers have the same users", refused, "%d of %d servers refuse the login %s", len(refused), len(d.Config.Servers()), who)
	default:
		c.ok(nameLogin, "%s", who)
	}
}

// jetStream reports whether JetStream answers this user. Where the user may not ask for
// its account, the streams are the evidence.
func (d *doctor) jetStream(ctx context.Context, c *column, conn *bus.Conn, seen []bus.Seen) bool {
	info, err := conn.Account(ctx)
	enable := "enable JetStream: `jetstream {}` in nats-server's configuration, `jetstream: enabled` in the account; or set NATS_JS_API_PREFIX to how this account imports it"
	answers := slices.ContainsFunc(seen, func(s bus.Seen) bool { return s.Err == nil })
	enabled, _ := conn.ConnectedServerJetStream()
	switch {
	case err == nil:
		d.storage(c, info)
	case answers:
		c.ok(nameJetStream, "answers (this user may not ask how much its account may store)")
	case errors.Is(err, bus.ErrNoJetStream):
		c.add(Fail, nameJetStream, enable, "NATS_JS_API_PREFIX=%s: %s", d.Config.APIPrefix, d.said(err))
		return false
	case !enabled:
		c.add(Fail, nameJetStream, enable, "%s has no JetStream, and no other server answers for it", conn.ConnectedServerName())
		return false
	case errors.Is(err, bus.ErrDenied):
		c.skip(nameJetStream, "this user may not ask; its rights tell what it has of it")
	default:
		c.add(Fail, nameJetStream, enable, "NATS_JS_API_PREFIX=%s: it does not answer: %s", d.Config.APIPrefix, d.said(err))
		return false
	}
	return true
}

// nearlyFull is the part of an account's storage from which on there is a warning.
const nearlyFull = 0.9

func (d *doctor) storage(c *column, info bus.Account) {
	most, used := info.MaxStored, info.Stored
	what := fmt.Sprintf("%d streams, %d consumers, %s stored", info.Streams, info.Consumers, bytesText(used))
	switch {
	case most <= 0:
		c.ok(nameJetStream, "%s", what)
	case float64(used) >= nearlyFull*float64(most):
		c.add(Warn, nameJetStream, "give the account more storage, or keep less (RESULTS_MAX_AGE, DEADLETTERS_MAX_AGE)", "%s, of %s that the account may have", what, bytesText(most))
	default:
		c.ok(nameJetStream, "%s, of %s that the account may have", what, bytesText(most))
	}
}

// older reports whether a version is below another. One that cannot be read is not.
func older(version string, least []int) bool {
	parts := strings.FieldsFunc(version, func(r rune) bool { return r == '.' || r == '-' || r == '+' })
	for i, want := range least {
		if i >= len(parts) {
			return false
		}
		have, err := strconv.Atoi(parts[i])
		if err != nil || have != want {
			return err == nil && have < want
		}
	}
	return false
}
