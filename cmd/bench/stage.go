package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A setting is what surrounds the service in a scenario.
type setting struct {
	answer  answer
	slots   int
	always  bool // sync_interval, and the service stores in batches
	servers int  // 0: one
}

// A stage is one run's surroundings, all of them fresh: nats-server, an upstream,
// perhaps a collector, and the streams.
type stage struct {
	setting
	bench     *bench
	dir       string
	servers   []natsServer
	urls      string
	upstream  *child
	base      string // of the upstream
	cert      string // file, where the upstream has TLS
	collector *child // where spans go; nil: nowhere
	spansTo   string
	nc        *nats.Conn
	js        jetstream.JetStream
	workers   []*child
}

// build starts a stage for a contender. The caller closes it.
func (b *bench) build(ctx context.Context, c contender, set setting) (s *stage, err error) {
	s = &stage{bench: b, setting: set}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.dir, err = os.MkdirTemp(b.options.dir, "gemini-bench-"); err != nil {
		return s, err
	}
	if s.servers, err = startNATS(ctx, s.dir, b.options.natsServer, max(1, set.servers), set.always); err != nil {
		return s, err
	}
	urls := make([]string, 0, len(s.servers))
	for _, server := range s.servers {
		urls = append(urls, server.url)
	}
	s.urls = strings.Join(urls, ",")
	if s.nc, err = connect(ctx, s.urls); err != nil {
		return s, err
	}
	if s.js, err = jetstream.New(s.nc, jetstream.WithPublishAsyncMaxPending(fillWindow)); err != nil {
		return s, err
	}
	if err = s.startUpstream(ctx); err != nil {
		return s, err
	}
	if c.traced {
		var ready collectorReady
		if s.collector, err = startPart(ctx, s.dir, "collector", "{}", &ready); err != nil {
			return s, err
		}
		s.spansTo = ready.URL
	}
	return s, s.provision(ctx, c)
}

func (s *stage) startUpstream(ctx context.Context) (err error) {
	config, scheme, ready := upstreamConfig{Answer: s.answer}, "http://", upstreamReady{}
	if s.answer.TLS {
		scheme = "https://"
		s.cert, config.Key = filepath.Join(s.dir, "cert.pem"), filepath.Join(s.dir, "key.pem")
		config.Cert = s.cert
		if err := writeCertificate(config.Cert, config.Key); err != nil {
			return err
		}
	}
	s.upstream, err = startPart(ctx, s.dir, "upstream", config, &ready)
	s.base = scheme + ready.Address + apiPath
	return err
}

// provision has the service create the streams; the floor uses the same ones.
func (s *stage) provision(ctx context.Context, c contender) error {
	path := c.path
	if path == "" {
		path = s.bench.options.worker
	}
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	var out []byte
	for {
		cmd := exec.CommandContext(ctx, path, "provision") //nolint:gosec // the program that the command line names
		cmd.Env = append(cleanEnv(os.Environ()), s.workerEnv(contender{})...)
		var err error
		if out, err = cmd.CombinedOutput(); err == nil {
			return nil
		}
		if pause(ctx, retryTime) != nil { // a cluster that has just started has no leader yet
			return fmt.Errorf("%s provision: %w\n%s", path, err, out)
		}
	}
}

// workerEnv is the configuration of the service.
func (s *stage) workerEnv(c contender) []string {
	env := []string{
		"NATS_URL=" + s.urls, "OPENROUTER_BASE_URL=" + s.base, "OPENROUTER_API_KEYS=" + apiKey,
		"WORKER_CONCURRENCY=" + strconv.Itoa(max(1, s.slots)), "NATS_REPLICAS=" + strconv.Itoa(len(s.servers)), "REQUESTS_MAX_BYTES=8GiB",
	}
	if s.cert != "" {
		env = append(env, "SSL_CERT_FILE="+s.cert)
	}
	if s.always {
		env = append(env, "NATS_GROUP_COMMIT=true") // what the stack has for such a server
	}
	if c.traced {
		env = append(env, "OTEL_EXPORTER_OTLP_ENDPOINT="+s.spansTo, "OTEL_BSP_MAX_QUEUE_SIZE=65536", "OTEL_METRICS_EXPORTER=none")
	}
	return env
}

// start starts one process of a contender.
func (s *stage) start(ctx context.Context, c contender) (p *child, err error) {
	if c.path == "" {
		p, err = s.startFloor(ctx)
	} else {
		p, err = s.startWorker(ctx, c, "worker"+strconv.Itoa(len(s.workers)))
	}
	if err == nil {
		s.workers = append(s.workers, p)
	}
	return p, err
}

func (s *stage) startWorker(ctx context.Context, c contender, name string) (*child, error) {
	ports, err := freePorts(ctx, 1)
	if err != nil {
		return nil, err
	}
	address, profiles := "127.0.0.1:"+strconv.Itoa(ports[0]), s.bench.profileBase(c, name)
	if err := forget(profiles); err != nil {
		return nil, err
	}
	return startChild(ctx, command{
		name: name, path: c.path, args: []string{"serve"}, env: append(s.workerEnv(c), "HTTP_ADDR="+address, "BENCH_PROFILE="+profiles),
		log: filepath.Join(s.dir, name+".log"), profiles: profiles, web: "http://" + address,
	})
}

func (s *stage) startFloor(ctx context.Context) (*child, error) {
	config := floorConfig{NATS: s.urls, Upstream: s.base, Slots: s.slots, Text: s.answer.text(), Cert: s.cert}
	return startPart(ctx, s.dir, "floor", config, &struct{}{})
}

// stopWorkers ends the contender's processes.
func (s *stage) stopWorkers() error {
	var errs []error
	for _, p := range s.workers {
		errs = append(errs, p.stop())
	}
	s.workers = nil
	return errors.Join(errs...)
}

// gone is an error once any process has ended that should run.
func (s *stage) gone() error {
	for _, p := range append([]*child{s.upstream}, append(s.natsChildren(), s.workers...)...) {
		if err := p.gone(); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) natsChildren() []*child {
	all := make([]*child, 0, len(s.servers))
	for _, server := range s.servers {
		all = append(all, server.child)
	}
	return all
}

// close ends every process, the service first, and deletes the files.
func (s *stage) close() error {
	errs := []error{s.stopWorkers()}
	if s.nc != nil {
		s.nc.Close()
	}
	errs = append(errs, s.collector.stop(), s.upstream.stop())
	for _, server := range s.servers {
		errs = append(errs, server.stop())
	}
	if s.dir != "" && !s.bench.options.keep {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}
