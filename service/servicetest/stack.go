package servicetest

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

const stackSecrets = `ADMIN_PASSWORD: "admin"
WORKER_PASSWORD: "worker"
BACKEND_PASSWORD: "backend"
JETSTREAM_KEY: "a key for tests"
`

const teamSecrets = `TEAM_A_PASSWORD: "team-a"
TEAM_B_PASSWORD: "team-b"
`

// RunStackNATS starts a server with deploy/nats/nats.conf, as docker-compose.yml
// does: its accounts, users and JetStream settings. Connections without options
// of their own are the admin's.
func RunStackNATS(tb testing.TB, changes ...func(*server.Options)) *NATS {
	tb.Helper()
	return runStackNATS(tb, stackSecrets+teamSecrets, changes...)
}

// RunOldStackNATS is RunStackNATS with a file of secrets from before the tenants.
func RunOldStackNATS(tb testing.TB) *NATS {
	tb.Helper()
	return runStackNATS(tb, stackSecrets)
}

func runStackNATS(tb testing.TB, secretLines string, changes ...func(*server.Options)) *NATS {
	tb.Helper()
	root := tb.TempDir() // as in the container: nats.conf includes the secrets by a relative path
	conf := filepath.Join(root, "etc", "nats", "nats.conf")
	secrets := filepath.Join(root, "run", "secrets", "nats_secrets")
	_, us, _, _ := runtime.Caller(0)
	text, err := os.ReadFile(filepath.Join(filepath.Dir(us), "../../deploy/nats/nats.conf"))
	err = errors.Join(err,
		os.MkdirAll(filepath.Dir(conf), 0o700), os.MkdirAll(filepath.Dir(secrets), 0o700),
		os.WriteFile(conf, text, 0o600), os.WriteFile(secrets, []byte(secretLines), 0o600)) //nolint:gosec // a test's own folder
	if err != nil {
		tb.Fatal(err)
	}
	options, err := server.ProcessConfigFile(conf)
	if err != nil {
		tb.Fatalf("nats.conf: %v", err)
	}
	n := RunNATS(tb, func(o *server.Options) {
		ours := *o
		*o = *options
		o.Host, o.Port, o.HTTPHost, o.HTTPPort = ours.Host, ours.Port, "", 0
		o.StoreDir, o.NoLog, o.NoSigs = ours.StoreDir, true, true
		for _, change := range changes {
			change(o)
		}
	})
	n.As = User("admin")
	return n
}

// User is how a user of nats.conf connects; its password is its name.
func User(name string) []nats.Option {
	return []nats.Option{nats.UserInfo(name, name), nats.CustomInboxPrefix("_INBOX_" + name)}
}
