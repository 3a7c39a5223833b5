package inprocess_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"gemini-client/service/config"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// authority signs certificates for 127.0.0.1 and keeps them as PEM files.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	ca   string // its certificate's file
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	a.key = a.newKey()
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	a.must(err)
	a.cert, err = x509.ParseCertificate(der)
	a.must(err)
	a.ca = a.write("ca.pem", "CERTIFICATE", der)
	return a
}

func (a *authority) must(err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
}

func (a *authority) newKey() *ecdsa.PrivateKey {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	a.must(err)
	return key
}

func (a *authority) write(name, kind string, der []byte) string {
	a.t.Helper()
	file := filepath.Join(a.dir, name)
	a.must(os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	return file
}

// issue returns the files of a certificate and its key.
func (a *authority) issue(name string) (cert, key string) {
	a.t.Helper()
	private := a.newKey()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &private.PublicKey, a.key)
	a.must(err)
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	a.must(err)
	file := fmt.Sprintf("%s-%d", name, template.SerialNumber) // tests in parallel share an authority
	return a.write(file+".pem", "CERTIFICATE", der), a.write(file+"-key.pem", "PRIVATE KEY", secret)
}

// demand makes a server ask for certificates of this authority.
func (a *authority) demand(o *server.Options) {
	a.t.Helper()
	cert, key := a.issue("server")
	config, err := server.GenTLSConfig(&server.TLSConfigOpts{CertFile: cert, KeyFile: key, CaFile: a.ca, Verify: true, MinVersion: tls.VersionTLS12})
	a.must(err)
	o.TLS, o.TLSVerify, o.TLSTimeout, o.TLSConfig = true, true, 10, config
}

func TestTLS(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]bool{"after the greeting": false, "first": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAuthority(t)
			cert, key := a.issue("worker")
			n := servicetest.RunNATS(t, a.demand, func(o *server.Options) { o.TLSHandshakeFirst = first })
			n.As = []nats.Option{nats.RootCAs(a.ca), nats.ClientCert(cert, key)}
			if first {
				n.As = append(n.As, nats.TLSHandshakeFirst())
			}
			b := setupOn(t, n, servicetest.RunOpenRouter(t, simulator.Config{}), func(c *config.Config) {
				c.TLSCA, c.TLSCert, c.TLSKey, c.TLSFirst = a.ca, cert, key, first
			})
			b.start()
			b.Result(b.Ask("hello", nil))
		})
	}
}

// A server that another authority signed for, or one that does not know ours,
// gets nothing; the log says why, and the service goes on trying.
func TestTLSOfStrangers(t *testing.T) {
	t.Parallel()
	a, stranger := newAuthority(t), newAuthority(t)
	cert, key := a.issue("worker")
	strange, strangeKey := stranger.issue("worker")
	tests := []struct {
		name, ca, cert, key, want string
	}{
		{"a server that we do not know", stranger.ca, cert, key, "unknown authority"},
		{"a worker that the server does not know", a.ca, strange, strangeKey, "tls: "},
		{"a worker without a certificate", a.ca, "", "", "tls: "},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			n := servicetest.RunNATS(t, a.demand)
			n.As = []nats.Option{nats.RootCAs(a.ca), nats.ClientCert(cert, key)}
			b := setupOn(t, n, servicetest.RunOpenRouter(t, simulator.Config{}), func(c *config.Config) {
				c.TLSCA, c.TLSCert, c.TLSKey = test.ca, test.cert, test.key
			})
			r := b.startUnready()
			b.Until("the log says why", func() (string, bool) { return b.log.String(), strings.Contains(b.log.String(), test.want) })
			if text, ready := r.get("/readyz"); ready {
				t.Errorf("ready: %s", text)
			}
			if err := r.stop(); err != nil {
				t.Errorf("stopped: %v", err)
			}
		})
	}
}

// realm is an operator and an account with JetStream (NATS' decentralized
// authentication: JWTs signed with NKeys).
type realm struct {
	t       *testing.T
	account nkeys.KeyPair
	change  func(*server.Options)
}

func newRealm(t *testing.T) *realm {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	operator, err := nkeys.CreateOperator()
	must(err)
	resolver := &server.MemAccResolver{}
	add := func(name string, limits jwt.JetStreamLimits) (nkeys.KeyPair, string) {
		t.Helper()
		pair, err := nkeys.CreateAccount()
		must(err)
		public, err := pair.PublicKey()
		must(err)
		claims := jwt.NewAccountClaims(public)
		claims.Name, claims.Limits.JetStreamLimits = name, limits
		token, err := claims.Encode(operator)
		must(err)
		must(resolver.Store(public, token))
		return pair, public
	}
	_, system := add("SYS", jwt.JetStreamLimits{})
	account, _ := add("GEMINI", jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1})
	public, err := operator.PublicKey()
	must(err)
	claims := jwt.NewOperatorClaims(public)
	claims.SystemAccount = system
	return &realm{t, account, func(o *server.Options) {
		o.TrustedOperators, o.SystemAccount, o.AccountResolver = []*jwt.OperatorClaims{claims}, system, resolver
	}}
}

// creds writes the credentials of a new user into a file.
func (r *realm) creds(file string, expires time.Time) string {
	r.t.Helper()
	user, err := nkeys.CreateUser()
	if err != nil {
		r.t.Fatal(err)
	}
	public, err := user.PublicKey()
	if err != nil {
		r.t.Fatal(err)
	}
	claims := jwt.NewUserClaims(public)
	claims.Expires = expires.Unix()
	token, err := claims.Encode(r.account)
	if err != nil {
		r.t.Fatal(err)
	}
	seed, err := user.Seed()
	if err != nil {
		r.t.Fatal(err)
	}
	text, err := jwt.FormatUserConfig(token, seed)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		r.t.Fatal(err)
	}
	return file
}

// A credentials file that has expired is replaced while the service runs: it
// is read again at the next attempt to connect.
func TestCreds(t *testing.T) {
	t.Parallel()
	realm := newRealm(t)
	n := servicetest.RunNATS(t, realm.change)
	dir := t.TempDir()
	n.As = []nats.Option{nats.UserCredentials(realm.creds(filepath.Join(dir, "backend.creds"), time.Now().Add(time.Hour)))}
	file := realm.creds(filepath.Join(dir, "worker.creds"), time.Now().Add(-time.Hour))
	b := setupOn(t, n, servicetest.RunOpenRouter(t, simulator.Config{}), func(c *config.Config) { c.Creds = file })
	r := b.startUnready()
	b.Until("the log says that NATS refuses us", func() (string, bool) {
		return b.log.String(), strings.Contains(strings.ToLower(b.log.String()), "authorization violation")
	})
	realm.creds(file, time.Now().Add(time.Hour))
	r.waitReady()
	b.Result(b.Ask("hello", nil))
}
