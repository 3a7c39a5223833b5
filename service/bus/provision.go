package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/service/config"
)

// ErrTopology is a stream or consumer that exists in a form the service must
// not work with, or is missing where it may not create it. errors.Is finds it;
// the text says what and the way out.
var ErrTopology = errors.New("streams or consumers do not fit")

// Ensure makes sure that streams and consumers are there. With create it makes
// the missing ones; it never changes what exists, because two versions of the
// service side by side would fight over it. Harmless differences are logged,
// harmful ones are an ErrTopology that names all of them. Settings that fit no
// stream of this server are a config.ErrInvalid.
func (t Topology) Ensure(ctx context.Context, js jetstream.JetStream, create bool, log *slog.Logger) error {
	if err := t.check(); err != nil {
		return err
	}
	var harmful []error
	for _, want := range t.Streams {
		have, err := ensureStream(ctx, js, want, create)
		if err != nil {
			return err
		}
		harmful = append(harmful, judgeDifferences(ctx, log, "stream "+want.Name, streamDifferences(have, want, t.LeastAge[want.Name], t.Bounds[want.Name]))...)
	}
	for _, want := range t.Consumers {
		have, err := ensureConsumer(ctx, js, want, create)
		if err != nil {
			return err
		}
		harmful = append(harmful, judgeDifferences(ctx, log, "consumer "+want.Config.Durable+" of "+want.Stream, consumerDifferences(have, want.Config))...)
	}
	if err := errors.Join(harmful...); err != nil {
		return fmt.Errorf("%w:\n%w\nrun `gemini-client provision` to apply the configuration (a stream's retention can only be changed by deleting it)", ErrTopology, err)
	}
	return nil
}

// Provision applies the configuration to the server: it creates what is
// missing and updates what differs, and leaves declared tenants what is theirs. For a
// person to call. Errors: config.ErrInvalid, those of JetStream.
func (t Topology) Provision(ctx context.Context, js jetstream.JetStream) error {
	if err := t.check(); err != nil {
		return err
	}
	own := t
	t, err := own.WithTenants(ctx, js)
	if err != nil {
		return err
	}
	rest, err := t.provisionLanes(ctx, js)
	if err != nil {
		return err
	}
	if t, err = own.WithTenants(ctx, js); err != nil { // it may say by now how many consumers it has
		return err
	}
	needed := len(t.needed().Streams) // what can be done without comes last, and keeps nothing else from being made
	if err := updateStreams(ctx, js, t.Streams[:needed]); err != nil {
		return err
	}
	if err := updateConsumers(ctx, js, rest); err != nil {
		return err
	}
	if err := updateStreams(ctx, js, t.Streams[needed:]); err != nil {
		return err
	}
	return t.settle(ctx, js)
}

// provisionLanes makes the consumers of lanes and tenants before the stream has their
// subjects, so that nothing is stored that nobody reads. It returns those that are left:
// where there is no stream yet, all.
func (t Topology) provisionLanes(ctx context.Context, js jetstream.JetStream) (rest []QueueConsumer, err error) {
	for _, want := range t.Consumers {
		var err error = jetstream.ErrStreamNotFound
		if want.spare() {
			err = updateConsumers(ctx, js, []QueueConsumer{want})
		}
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			rest = append(rest, want)
		} else if err != nil {
			return nil, err
		}
	}
	return rest, nil
}

func updateStreams(ctx context.Context, js jetstream.JetStream, streams []jetstream.StreamConfig) error {
	for _, want := range streams {
		if _, err := js.CreateOrUpdateStream(ctx, want); err != nil {
			return refused("stream "+want.Name, err)
		}
	}
	return nil
}

func updateConsumers(ctx context.Context, js jetstream.JetStream, consumers []QueueConsumer) error {
	for _, want := range consumers {
		_, err := makeConsumer(ctx, js, want.Stream, func() (jetstream.Consumer, error) {
			return js.CreateOrUpdateConsumer(ctx, want.Stream, want.Config)
		})
		if err != nil {
			return fmt.Errorf("consumer %s of %s: %w", want.Config.Durable, want.Stream, err)
		}
	}
	return nil
}

// ensureStream returns the configuration in force.
func ensureStream(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig, create bool) (jetstream.StreamConfig, error) {
	stream, err := js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) && create {
		stream, err = js.CreateStream(ctx, want)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another replica was faster
			stream, err = js.Stream(ctx, want.Name)
		}
	}
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return want, fmt.Errorf("%w: stream %s is missing and NATS_PROVISION is false: run `gemini-client provision` with an admin's credentials", ErrTopology, want.Name)
	}
	if err != nil {
		return want, refused("stream "+want.Name, err)
	}
	return stream.CachedInfo().Config, nil
}

func ensureConsumer(ctx context.Context, js jetstream.JetStream, want QueueConsumer, create bool) (jetstream.ConsumerConfig, error) {
	consumer, err := js.Consumer(ctx, want.Stream, want.Config.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) && create {
		consumer, err = makeConsumer(ctx, js, want.Stream, func() (jetstream.Consumer, error) {
			return js.CreateConsumer(ctx, want.Stream, want.Config)
		})
		if errors.Is(err, jetstream.ErrConsumerExists) {
			consumer, err = js.Consumer(ctx, want.Stream, want.Config.Durable)
		}
	}
	name := fmt.Sprintf("consumer %s of %s", want.Config.Durable, want.Stream)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return want.Config, fmt.Errorf("%w: %s is missing and NATS_PROVISION is false: run `gemini-client provision` with an admin's credentials", ErrTopology, name)
	}
	if err != nil {
		return want.Config, refused(name, err)
	}
	return consumer.CachedInfo().Config, nil
}

// refused tells an answer of JetStream that will not change by waiting (the
// account's limits, a stream of another name on the same subjects) from a
// server that is not ready.
func refused(what string, err error) error {
	var api *jetstream.APIError
	if errors.As(err, &api) && api.Code == 400 {
		return fmt.Errorf("%w: %s: %w", ErrTopology, what, err)
	}
	if errors.As(err, &api) && api.ErrorCode == jsErrStorageResources {
		return fmt.Errorf("%s: %w: JetStream sets REQUESTS_MAX_BYTES, RESULTS_MAX_BYTES and DEADLETTERS_MAX_BYTES aside: lower them, or give it more room", what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// judgeDifferences logs the harmless differences and returns the harmful ones.
func judgeDifferences(ctx context.Context, log *slog.Logger, what string, differences []difference) []error {
	var harmful []error
	for _, d := range differences {
		if d.harm != "" {
			harmful = append(harmful, fmt.Errorf("%s: %s is %v, must be %v: %s", what, d.setting, d.have, d.want, d.harm))
			continue
		}
		log.InfoContext(ctx, "a setting on the server differs from the configuration and is left as it is (gemini-client provision applies it)",
			"what", what, "setting", d.setting, "server", d.have, "configuration", d.want)
	}
	return harmful
}

// awaitJetStream repeats a part of the start until JetStream answers, so that a service
// that is started before its server, or while that restarts, is merely waiting. It
// returns whether it had to wait. Errors: ErrTopology, config.ErrInvalid, ctx's cause.
func awaitJetStream(ctx context.Context, log *slog.Logger, do func(context.Context) error) (waited bool, err error) {
	again := time.NewTicker(time.Second)
	defer again.Stop()
	for tries := 0; ; tries++ {
		one, cancel := context.WithTimeout(ctx, 3*requestTimeout)
		err := do(one)
		cancel()
		if err == nil || errors.Is(err, ErrTopology) || errors.Is(err, config.ErrInvalid) {
			return tries > 0, err
		}
		if tries%15 == 0 {
			log.WarnContext(ctx, "JetStream is not ready, waiting for it (if this lasts: is it enabled, and may this user use it?)", "error", err)
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return true, context.Cause(ctx)
		}
	}
}

// ensureSpare makes sure of what nothing at start needs, for a while: what has an answer
// of JetStream is not repeated. Errors: do's, ctx's cause.
func ensureSpare(ctx context.Context, log *slog.Logger, do func(context.Context) error) (waited bool, err error) {
	limited, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return awaitJetStream(limited, log, func(ctx context.Context) error {
		err := do(ctx)
		if errors.As(err, new(*jetstream.APIError)) { // it has answered
			return errors.Join(ErrTopology, err)
		}
		return err
	})
}
