package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"gemini-client/events"
)

func replayCommand(from *source, std streams) *cobra.Command {
	var f deadLetterFilter
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "replay [SEQUENCE|ID...]",
		Short: "Have failed requests answered again, under their own request_id",
		Long: `Have failed requests answered again: the original is published to the retries, to
follow only the failure that is the request's last result. Then its dead letter is
deleted. A request that was answered meanwhile is skipped. Of a request with
several dead letters one is replayed. There is no confirmation: use --dry-run
first. Needs the service's settings (CALLBACK_ALLOW, MODELS_ALLOW) and a NATS user
that may publish to the retries.`,
		Example: `  gemini-client deadletters replay --code insufficient_credits --dry-run
  gemini-client deadletters replay 17 18
  gemini-client deadletters replay --since 2h --before 30m`,
		ValidArgsFunction: from.deadLetterNames(0, true),
		RunE: func(cmd *cobra.Command, args []string) error {
			open := func(ctx context.Context) (*adminClient, error) { return openAdminClient(ctx, from, std) }
			return f.act(cmd.Context(), args, open, func(ctx context.Context, a *adminClient, deadLetters []deadLetter) error {
				return a.replay(ctx, deadLetters, dryRun)
			})
		},
	}
	f.flags(cmd.Flags(), 0)
	f.completes(cmd, from)
	f.addAll(cmd.Flags())
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only print what would be done")
	return cmd
}

// replayer replays dead letters, at most one for a request.
type replayer struct {
	*adminClient
	dead, results jetstream.Stream
	taken         map[string]uint64 // dead letter replayed, by callback and id
	dryRun        bool
}

func (a *adminClient) replayer(ctx context.Context, dryRun bool) (r *replayer, err error) {
	r = &replayer{adminClient: a, taken: map[string]uint64{}, dryRun: dryRun}
	if r.dead, err = a.stream(ctx, a.names.DeadlettersStream()); err != nil {
		return nil, err
	}
	r.results, err = a.stream(ctx, a.names.ResponsesStream())
	return r, err
}

// replay works on the dead letters that were stored when it began, so that one
// that fails again is not replayed again.
func (a *adminClient) replay(ctx context.Context, deadLetters []deadLetter, dryRun bool) error {
	r, err := a.replayer(ctx, dryRun)
	if err != nil {
		return err
	}
	var replayed, skipped, impossible int
	for _, l := range deadLetters {
		done, note, err := r.one(ctx, l)
		var cannot cannotError
		switch {
		case errors.As(err, &cannot):
			impossible++
			note = "cannot be replayed: " + plain(err.Error())
		case err != nil:
			return fmt.Errorf("%d replayed, then dead letter %d: %w", replayed, l.Sequence, err)
		case done:
			replayed++
		default:
			skipped++
		}
		a.printf("%s  %s\n", l, note)
	}
	verb := "replayed"
	if dryRun {
		verb = "would be replayed"
	}
	a.printf("%d %s, %d skipped, %d cannot be replayed\n", replayed, verb, skipped, impossible)
	if impossible > 0 {
		return errFailed
	}
	return nil
}

// cannotError is the reason why a dead letter can never be replayed.
type cannotError string

func (e cannotError) Error() string { return string(e) }

// one replays a dead letter. The note says what was done; replayed is false if it
// was skipped.
func (r *replayer) one(ctx context.Context, l deadLetter) (replayed bool, note string, err error) {
	m, err := r.at(ctx, r.dead, l.Sequence)
	if err != nil {
		return false, "", err
	}
	if m == nil {
		return false, "skipped: it is gone", nil
	}
	forgeable := dropForgeable(m.Header)
	request, err := r.read(ctx, m)
	if err != nil {
		return false, "", err
	}
	key := request.CallbackQueue + " " + events.CanonicalID(request.ID)
	if other := r.taken[key]; other != 0 {
		return false, fmt.Sprintf("skipped: dead letter %d is the same request", other), nil
	}
	if passed(request) {
		return false, "skipped: its deadline passed, " + since(request.Deadline), nil
	}
	last, err := r.last(ctx, r.results, events.AnyResult(request.CallbackQueue, request.ID))
	if err != nil {
		return false, "", err
	}
	follows, how := uint64(0), "no result of it is kept any more"
	if last != nil {
		if last.Subject == events.Completed(request.CallbackQueue, request.ID) {
			return false, "skipped: answered since, " + since(last.Time), nil
		}
		follows, how = last.Sequence, fmt.Sprintf("follows the failed result %d", last.Sequence)
	}
	if forgeable {
		how += "; as the default tenant's: the release that kept it let requesters say whose it is"
	}
	r.taken[key] = l.Sequence
	if r.dryRun {
		return true, "would be replayed: " + how, nil
	}
	return true, "replayed: " + how, r.send(ctx, m, follows)
}

// dropForgeable drops what a dead letter says of its tenant if a release has kept it that
// knew no tenants, and so kept what the requester had said. Such a release wrote no lane.
func dropForgeable(dead nats.Header) (dropped bool) {
	if len(dead[events.HeaderLane]) > 0 {
		return false
	}
	for name := range dead {
		if containsFold([]string{events.HeaderTenant, events.HeaderLane, events.HeaderIsolated}, name) {
			delete(dead, name)
			dropped = true
		}
	}
	return dropped
}

// read returns a dead letter's request as the service would decode it. A request
// that the service would refuse is an error: its replay would only lose it.
func (r *replayer) read(ctx context.Context, m *jetstream.RawStreamMsg) (events.Request, error) {
	request, err := r.adminClient.read(ctx, m.Header, m.Data, time.Now())
	var failure events.Failure
	switch {
	case errors.Is(err, events.ErrNoID):
		return request, cannotError("it has no usable request_id, nobody could be answered")
	case errors.As(err, &failure):
		return request, cannotError("with these settings the service would refuse it: " + failure.Message)
	}
	return request, err
}

// send publishes the original to the retries and then deletes its dead letter.
// After an interruption or a lost acknowledgement, the message id makes a second
// run the same replay.
func (r *replayer) send(ctx context.Context, dead *jetstream.RawStreamMsg, follows uint64) error {
	m := &nats.Msg{Subject: r.names.Retries(), Header: replayHeader(dead.Header, follows), Data: dead.Data}
	err := r.conn.Do(ctx, m.Subject, func(ctx context.Context) error {
		_, err := r.js.PublishMsg(ctx, m, jetstream.WithMsgID(fmt.Sprintf("replay/%d/%d", dead.Sequence, follows)),
			jetstream.WithExpectStream(r.names.RetriesStream()))
		return err
	})
	if err != nil {
		return fmt.Errorf("it was not replayed: %w", err)
	}
	if err := r.erase(ctx, dead.Sequence); err != nil {
		return fmt.Errorf("it was replayed, but the dead letter is still there (delete it: gemini-client deadletters purge %d): %w", dead.Sequence, err)
	}
	return nil
}

// replayHeader returns the original's headers without those of NATS and of the
// service but whose it is, so that its retries are counted from 0 and its bill begins anew: the
// failure has told what came before. Names are compared in any case,
// as the service reads them.
func replayHeader(dead nats.Header, follows uint64) nats.Header {
	own := []string{events.HeaderReason, events.HeaderStrikes, events.HeaderRetryCount, events.HeaderTimeouts, events.HeaderReplay, events.HeaderBilled}
	h := nats.Header{}
	for name, values := range events.WithoutNATS(dead) {
		if len(name) >= len(events.HeaderOriginalPrefix) && strings.EqualFold(name[:len(events.HeaderOriginalPrefix)], events.HeaderOriginalPrefix) {
			continue
		}
		if !containsFold(own, name) {
			h[name] = values
		}
	}
	if follows > 0 {
		h.Set(events.HeaderReplay, fmt.Sprint(follows))
	}
	return h
}

func containsFold(list []string, name string) bool {
	for _, entry := range list {
		if strings.EqualFold(entry, name) {
			return true
		}
	}
	return false
}
