package upstream

import "gemini-client/events"

// kind names a row of the table of classes.
type kind int

const (
	kindUnknown kind = iota
	// What ends a call on our side.
	kindCancelled
	kindDeadline
	kindStopping
	kindEnded
	// No attempt is made.
	kindBreakerOpen
	kindKeysLimited
	kindKeysRefused
	kindKeysSpent
	kindModelLimited
	kindModelDear
	kindBadRequest
	// There is no answer, or no whole one.
	kindConnection
	kindFirstToken
	kindGap
	kindCallTimeout
	kindAttemptTimeout
	kindCut
	kindEmpty
	kindFinishError
	kindMalformed
	kindTooLarge
	// OpenRouter answers with an error.
	kindContextLength
	kindModeration
	kindKeyRefused
	kindRelayed401
	kindKeySpent
	kindTooDear
	kindBudgetInFlight
	kindBudgetTooSmall
	kindForbidden
	kindModelGone
	kindRequestTooLarge
	kindKeyLimited
	kindProviderLimited
	kindProviderBusy
	kindCapacityShared
	kindDailyLimit
	kindServerTimeout
	kindServerError
	kindNoStatus
	kindEdge
	kindRedirect
	kindOddRequest
	kindInvalidRequest
)

// Healing that depends on what OpenRouter says of the failure.
const (
	soonIfTold  Healing = -1 - iota // Soon if OpenRouter calls it retryable, else Never
	soonOrLater                     // Soon if OpenRouter calls it retryable, else Later
)

// The beginnings of messages. {what} is the status or the kind of the failure,
// {detail} what OpenRouter or the network said, or a time.
const (
	answered = "OpenRouter answered {what}: {detail}"
	broke    = "The call to OpenRouter failed ({what}): {detail}"
)

// class is what follows from a failure of one kind.
type class struct {
	code    events.Code
	heals   Healing
	health  health
	key     keyEffect
	message string // for the requester
	log     string // for people on call; {what} as in message
}

// classes is the one table of what a failure means: code, healing, effect on
// the breaker and on the key, sentence for the result, clause for the log. It
// follows OpenRouter's documented statuses.
var classes = map[kind]class{ //nolint:gochecknoglobals // a table, never changed
	kindUnknown:   {events.Internal, Never, healthGood, keyFine, "The service failed: {detail}", "the service failed"},
	kindCancelled: {events.Cancelled, Never, healthUnknown, keyFine, "The request was cancelled", "the request was cancelled"},
	kindDeadline:  {events.DeadlineExceeded, Never, healthUnknown, keyFine, "The request's deadline passed before there was an answer", "the request's deadline has passed"},
	kindStopping:  {events.Internal, Never, healthUnknown, keyFine, "The service was stopping before there was an answer", "the service is stopping"},
	kindEnded:     {events.Internal, Never, healthUnknown, keyFine, broke, "the call was not made ({what})"},

	kindBreakerOpen:  {events.UpstreamUnavailable, Later, healthUnknown, keyFine, "OpenRouter has been failing and is left alone for a moment", "the circuit breaker is open"},
	kindKeysLimited:  {events.RateLimited, Later, healthUnknown, keyFine, "Every API key of the service has reached its rate limit; the next one is tried at {detail}", "no API key can be used"},
	kindKeysRefused:  {events.Unauthorized, Later, healthUnknown, keyFine, "OpenRouter refuses every API key of the service; the next one is tried at {detail}", "no API key can be used"},
	kindKeysSpent:    {events.InsufficientCredits, Later, healthUnknown, keyFine, "The credits of every API key of the service are used up; the next one is tried at {detail}", "no API key can be used"},
	kindModelLimited: {events.RateLimited, Later, healthUnknown, keyFine, "The model's providers are at their limit; it is asked again at {detail}", "the model rests"},
	kindModelDear:    {events.InsufficientCredits, Later, healthUnknown, keyFine, "The credits of the service afford only a shorter answer of this model (max_output_tokens); a longer one is tried again at {detail}", "longer answers of the model rest"},
	kindBadRequest:   {events.InvalidRequest, Never, healthGood, keyFine, broke, "the call was not made ({what})"},

	kindConnection:     {events.UpstreamUnavailable, Soon, healthBad, keyFine, broke, "OpenRouter could not be reached ({detail})"},
	kindFirstToken:     {events.UpstreamTimeout, Soon, healthBad, keyFine, broke, "no token came within FIRST_TOKEN_TIMEOUT"},
	kindGap:            {events.UpstreamTimeout, Soon, healthBad, keyFine, broke, "the answer stopped for longer than TOKEN_GAP_TIMEOUT"},
	kindCallTimeout:    {events.UpstreamTimeout, Soon, healthBad, keyFine, broke, "the time for the call was over"},
	kindAttemptTimeout: {events.UpstreamTimeout, Soon, healthBad, keyFine, "OpenRouter did not finish the answer within CALL_TIMEOUT", "the answer was not complete within CALL_TIMEOUT"},
	kindCut:            {events.UpstreamInvalidResponse, Soon, healthBad, keyFine, broke, "the answer broke off in the middle"},
	kindEmpty:          {events.UpstreamInvalidResponse, Soon, healthGood, keyFine, broke, "the answer was empty"},
	kindFinishError:    {events.UpstreamInvalidResponse, Soon, healthGood, keyFine, broke, "the provider gave up in the middle of the answer"},
	kindMalformed:      {events.UpstreamInvalidResponse, Soon, healthGood, keyFine, broke, "OpenRouter, or a proxy on the way, answered something that is not an answer"},
	kindTooLarge:       {events.PayloadTooLarge, Never, healthGood, keyFine, broke, "the answer was larger than the service accepts"},

	kindContextLength:   {events.ContextLengthExceeded, soonIfTold, healthGood, keyFine, answered, "the prompt does not fit the model ({what})"},
	kindModeration:      {events.ContentFiltered, soonIfTold, healthGood, keyFine, answered, "a filter refused the prompt ({what})"},
	kindKeyRefused:      {events.Unauthorized, Soon, healthGood, keyRefused, answered, "OpenRouter does not accept the key ({what})"}, // another key, or this one once more
	kindRelayed401:      {events.UpstreamUnavailable, Soon, healthGood, keyFine, answered, "OpenRouter or the provider behind it is failing ({what})"},
	kindKeySpent:        {events.InsufficientCredits, Soon, healthGood, keySpent, answered, "the credit of the key or its account is used up ({what})"},                   // with another key
	kindTooDear:         {events.InsufficientCredits, Soon, healthGood, keyDear, answered, "the credit of the key or its account affords only a shorter answer ({what})"}, // another key may afford it
	kindBudgetInFlight:  {events.RateLimited, soonIfTold, healthGood, keyLimited, answered, "the budget of the key is taken by calls in flight, or too small for this one ({what})"},
	kindBudgetTooSmall:  {events.InsufficientCredits, Never, healthGood, keyFine, answered, "the budget of the key is taken by calls in flight, or too small for this one ({what})"}, // no retry makes the call cheaper
	kindForbidden:       {events.Unauthorized, soonIfTold, healthGood, keyFine, answered, "OpenRouter refused the call ({what})"},
	kindModelGone:       {events.ModelUnavailable, soonIfTold, healthGood, keyFine, answered, "OpenRouter does not offer the model ({what})"},
	kindRequestTooLarge: {events.PayloadTooLarge, soonIfTold, healthGood, keyFine, answered, "OpenRouter refused the call ({what})"},
	kindKeyLimited:      {events.RateLimited, soonOrLater, healthGood, keyLimited, answered, "OpenRouter limits our calls ({what})"},
	kindProviderLimited: {events.RateLimited, soonOrLater, healthGood, keyModelLimited, answered, "the provider behind OpenRouter is at its limit ({what})"}, // it named a time
	kindProviderBusy:    {events.RateLimited, soonOrLater, healthGood, keyFine, answered, "the provider behind OpenRouter is at its limit ({what})"},
	kindCapacityShared:  {events.RateLimited, soonOrLater, healthGood, keyFine, answered, "OpenRouter limits our calls ({what})"},
	kindDailyLimit:      {events.RateLimited, soonOrLater, healthGood, keyFine, answered, "OpenRouter limits our calls ({what})"}, // of free models: the key goes on with the others
	kindServerTimeout:   {events.UpstreamTimeout, soonOrLater, healthBad, keyFine, answered, "OpenRouter gave up waiting for the provider ({what})"},
	kindServerError:     {events.UpstreamUnavailable, soonOrLater, healthBad, keyFine, answered, "OpenRouter or the provider behind it is failing ({what})"},
	kindNoStatus:        {events.UpstreamInvalidResponse, soonIfTold, healthGood, keyFine, answered, "OpenRouter answered with an error"},
	kindEdge:            {events.UpstreamUnavailable, Soon, healthBad, keyFine, answered, "a proxy or an edge before OpenRouter refused the call ({what})"},
	kindRedirect:        {events.UpstreamUnavailable, Later, healthGood, keyFine, answered, "OpenRouter or the provider behind it is failing ({what})"}, // the base URL or a proxy is wrong
	kindOddRequest:      {events.UpstreamInvalidResponse, soonIfTold, healthGood, keyFine, answered, "OpenRouter refused the call ({what})"},
	kindInvalidRequest:  {events.InvalidRequest, soonIfTold, healthGood, keyFine, answered, "OpenRouter refused the call ({what})"},
}
