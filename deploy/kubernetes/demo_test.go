package kubernetes

import (
	"context"
	"errors"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	corev1 "k8s.io/api/core/v1"

	"gemini-client/events"
	"gemini-client/events/client"
	"gemini-client/service"
	"gemini-client/service/bus"
	"gemini-client/service/config"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
	"gemini-client/telemetry"
)

// mounted writes what a workload's ConfigMaps and Secrets hold below a folder, at
// the paths where its container has them.
func (b build) mounted(tb testing.TB, w workload, folder string) {
	tb.Helper()
	for _, volume := range w.pod.Spec.Volumes {
		files := map[string]string{}
		if c := volume.ConfigMap; c != nil {
			maps.Copy(files, b["ConfigMap/"+c.Name].(*corev1.ConfigMap).Data)
		}
		if s := volume.Secret; s != nil {
			for key, value := range b["Secret/"+s.SecretName].(*corev1.Secret).Data {
				files[key] = string(value)
			}
		}
		for _, mount := range w.container(tb).VolumeMounts {
			for key, text := range files {
				path := filepath.Join(folder, mount.MountPath, key)
				if volume.Name != mount.Name {
					continue
				}
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
					tb.Fatal(err)
				}
			}
		}
	}
}

// demoNATS is a nats-server with the configuration, users and streams of the demo.
func demoNATS(t *testing.T, b build) *server.Server {
	t.Helper()
	w, folder := b.workloads()["Deployment/nats"], t.TempDir()
	b.mounted(t, w, folder)
	args := w.container(t).Args
	options, err := server.ProcessConfigFile(filepath.Join(folder, args[slices.Index(args, "--config")+1]))
	if err != nil {
		t.Fatal(err)
	}
	checkNATSPod(t, w, options)
	options.Host, options.Port, options.HTTPHost, options.HTTPPort = "127.0.0.1", server.RANDOM_PORT, "127.0.0.1", server.RANDOM_PORT
	options.StoreDir, options.NoLog, options.NoSigs = t.TempDir(), true, true
	s, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("nats-server is not ready")
	}
	provision(t, b, s)
	return s
}

// checkNATSPod holds the pod's port, disk and probes against the server's options.
func checkNATSPod(t *testing.T, w workload, options *server.Options) {
	t.Helper()
	c := w.container(t)
	if n := int(c.Ports[0].ContainerPort); n != options.Port {
		t.Errorf("the pod's port is %d, nats.conf has %d", n, options.Port)
	}
	if !slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == options.StoreDir && !m.ReadOnly }) {
		t.Errorf("no disk is mounted at %s", options.StoreDir)
	}
	monitoring := "http://" + net.JoinHostPort(options.HTTPHost, strconv.Itoa(options.HTTPPort)) + "/healthz"
	for _, probe := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
		if asks := probe.Exec.Command[len(probe.Exec.Command)-1]; !strings.HasPrefix(asks, monitoring) {
			t.Errorf("a probe asks %s, nats.conf has %s", asks, monitoring)
		}
	}
}

// provision does what the job does, as the job's user.
func provision(t *testing.T, b build, s *server.Server) {
	t.Helper()
	w := b.workloads()["Job/gemini-client-provision"]
	c := load(t, b, w)
	c.NATS.URL = s.ClientURL()
	tel := quiet(t)
	conn, err := bus.Connect(t.Context(), c.NATS, tel.Logger)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := bus.NewTopology(c, conn.MaxPayload()).Ensure(t.Context(), conn.JetStream, true, tel.Logger); err != nil {
		t.Fatal(err)
	}
	if args := w.container(t).Args; !slices.Equal(args, []string{"provision", "--missing", "--reader", "backend"}) {
		t.Fatalf("the job does %v", args)
	}
	reader, err := bus.Reader(c, "backend", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bus.ProvisionReader(t.Context(), conn.JetStream, reader, false); err != nil {
		t.Fatal(err)
	}
}

// quiet is telemetry whose log goes to the test's.
func quiet(t *testing.T) *telemetry.Telemetry {
	t.Helper()
	tel, err := telemetry.Setup(t.Context(), telemetry.Config{Output: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tel.Shutdown(context.WithoutCancel(t.Context())) })
	return tel
}

// answering runs a worker with the settings of the Deployment until the test ends.
func answering(t *testing.T, c config.Config) {
	t.Helper()
	s, err := service.New(c, "test", quiet(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// backend is a client with the settings of the pod that asks.
func backend(t *testing.T, b build, s *server.Server) *client.Client {
	t.Helper()
	c := load(t, b, b.workloads()["CronJob/ask"])
	nc, err := nats.Connect(s.ClientURL(), nats.UserInfo(c.User, c.CurrentPassword()), nats.CustomInboxPrefix(c.InboxPrefix))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	asks, err := client.New(nc, client.WithNames(c.Names()), client.WithAPIPrefix(c.APIPrefix))
	if err != nil {
		t.Fatal(err)
	}
	return asks
}

// A question travels through the demo: its nats.conf, its passwords and rights, the
// streams of its job, its worker's settings. Only addresses are others. What KEDA
// would read is what waits.
func TestDemoAnswers(t *testing.T) {
	b := objects(t, readTree(t), demo)
	_, scales := scaled(t)
	s := demoNATS(t, b)
	asks := backend(t, b, s)
	asked, err := asks.Submit(t.Context(), events.Request{Prompt: "Why is the sky blue?"})
	if err != nil {
		t.Fatal(err)
	}
	requests := trigger(t, scales, "requests").Metadata
	if lag := backlog(t, s, requests); lag != 1 {
		t.Errorf("KEDA would read %d requests, want the one that waits", lag)
	}
	c := load(t, b, b.workloads()[worker])
	c.NATS.URL, c.BaseURL = s.ClientURL(), servicetest.RunOpenRouter(t, simulator.Config{}).URL
	answering(t, c)
	patient, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // where rights are missing a worker waits for ever
	defer cancel()
	if result, err := asked.Result(patient); err != nil || result.Content == nil {
		t.Errorf("%+v, %v", result, err)
	}
}

// The demo's nats.conf is that of the stack, for the same version.
func TestDemoNATSIsTheStacks(t *testing.T) {
	b := objects(t, readTree(t), demo)
	if text := object[*corev1.ConfigMap](t, b, "nats").Data["nats.conf"]; text == "" || text != sources(t)["nats/nats.conf"] {
		t.Error("its nats.conf is another one")
	}
	compose, err := os.ReadFile("../../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	image := regexp.MustCompile(`NATS_IMAGE:-([^}]+)}`).FindStringSubmatch(string(compose))[1]
	if have := b.workloads()["Deployment/nats"].container(t).Image; have != image {
		t.Errorf("%s, docker-compose.yml has %s", have, image)
	}
	for name, object := range b {
		secret, ok := object.(*corev1.Secret)
		if !ok {
			continue
		}
		for key, text := range secret.Data {
			if string(text) != sources(t)["demo/"+key] || strings.Contains(string(text), "sk-or-v1-") {
				t.Errorf("%s: %s is not the demo's, or holds a real key", name, key)
			}
		}
	}
}
