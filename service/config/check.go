package config

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"gemini-client/events"
	"gemini-client/service/tenant"
)

// MaxConcurrency is the largest WORKER_CONCURRENCY.
const MaxConcurrency = 20_000

// Check returns every broken rule at once, each naming its variable, or nil.
func (c *Config) Check() error {
	return errors.Join(c.checkOpenRouter(), c.CheckServers(), c.checkQueue(), c.checkNumbers(), c.checkFiles())
}

func (c *Config) checkOpenRouter() error {
	var problems []error
	for i, key := range c.APIKeys {
		problems = append(problems, checkKey(c.keysVariable(), i, key))
	}
	_, err := c.Endpoint()
	return errors.Join(append(problems, err, checkProxy(c.HTTPProxy), checkHeader("OPENROUTER_SITE_URL", c.SiteURL), checkHeader("OPENROUTER_SITE_NAME", c.SiteName))...)
}

// checkHeader refuses what no HTTP header may carry.
func checkHeader(name, value string) error {
	if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return fmt.Errorf("%s: holds a character that no HTTP header may carry", name)
	}
	return nil
}

func (c *Config) checkQueue() error {
	problems := []error{c.Names().Validate(), events.CheckCallbacks(c.ResponseQueue, c.Callbacks())}
	for _, tier := range c.PriceTiersAllow {
		if lower := strings.ToLower(tier); lower != tier {
			problems = append(problems, fmt.Errorf("PRICE_TIERS_ALLOW: %q is in no request: write %s, in the letters of OpenRouter's service_tier", tier, lower))
		}
	}
	for _, pattern := range c.ModelsAllow {
		if _, err := path.Match(pattern, ""); err != nil {
			problems = append(problems, fmt.Errorf("MODELS_ALLOW: %q is not a glob: write names such as google/*", pattern))
		}
	}
	problems = append(problems, c.checkModels())
	if len(c.RetryDelays) == 0 {
		problems = append(problems, errors.New("QUEUE_RETRY_DELAYS: want at least one number of seconds"))
	}
	for _, delay := range c.RetryDelays {
		problems = append(problems, between("QUEUE_RETRY_DELAYS", delay, 1, 30*24*3600))
	}
	if least := c.LeastRecordAge(); c.ResultsMaxAge < least {
		problems = append(problems, fmt.Errorf("RESULTS_MAX_AGE=%s: results are the record of what was answered and must outlive the retries twice over: want at least %s (twice the sum of QUEUE_RETRY_DELAYS over QUEUE_MAX_RETRIES)", c.ResultsMaxAge, least))
	}
	return errors.Join(problems...)
}

// checkModels checks the models of the settings. With the model of a request the
// fallbacks are one list for OpenRouter, which refuses more than events.MaxModels.
func (c *Config) checkModels() error {
	var problems []error
	for _, model := range append([]string{c.Model}, c.Fallbacks()...) {
		if !matches(c.ModelsAllow, events.ModelName(model)) {
			problems = append(problems, fmt.Errorf("OPENROUTER_MODEL or OPENROUTER_FALLBACK_MODELS: %q is not in MODELS_ALLOW (%s)", model, strings.Join(c.ModelsAllow, ",")))
		}
	}
	if most := events.MaxModels - 1; len(c.FallbackModels) > most {
		problems = append(problems, fmt.Errorf("OPENROUTER_FALLBACK_MODELS: names %d models: name %d at most, since OpenRouter takes no more than %d with the request's own", len(c.FallbackModels), most, events.MaxModels))
	}
	if len(c.FallbackModels) > 1 && slices.Contains(c.FallbackModels, noFallback) {
		problems = append(problems, errors.New("OPENROUTER_FALLBACK_MODELS: none stands alone: leave it out, or the models"))
	}
	return errors.Join(problems...)
}

func matches(globs []string, name string) bool {
	for _, glob := range globs {
		if ok, err := path.Match(glob, name); ok && err == nil {
			return true
		}
	}
	return false
}

func (c *Config) checkNumbers() error {
	return errors.Join(append(c.checkLimits(),
		between("WORKER_CONCURRENCY", c.Concurrency, 1, MaxConcurrency),
		c.checkBudget(),
		between("KEYS_COOLDOWN_SECONDS", c.KeysCooldownSeconds, 1, 24*3600),
		between("KEYS_REST_MAX", c.KeysRestMax, time.Second, 24*time.Hour),
		c.checkBatch(),
		between("QUEUE_MAX_RETRIES", c.MaxRetries, 0, 100),
		between("TIMEOUT_MAX_RETRIES", c.TimeoutMaxRetries, 0, 100),
		between("MAX_STRIKES", c.MaxStrikes, 1, 100),
		between("ACK_WAIT", c.AckWait, 3*time.Second, time.Hour),
		between("RETRY_WAIT_MAX", c.RetryWaitMax, 0, time.Hour),
		between("SHUTDOWN_TIMEOUT", c.ShutdownTimeout, 0, time.Hour),
		between("FIRST_TOKEN_TIMEOUT", c.FirstTokenTimeout, 10*time.Millisecond, time.Hour),
		between("TOKEN_GAP_TIMEOUT", c.TokenGapTimeout, 10*time.Millisecond, time.Hour),
		between("CALL_TIMEOUT", c.CallTimeout, 10*time.Millisecond, 24*time.Hour),
		between("DEADLETTERS_MAX_AGE", c.DeadlettersMaxAge, time.Minute, 10*365*24*time.Hour),
		between("DEADLETTERS_MAX_BYTES", c.DeadlettersMaxBytes, 1<<20, 1<<50),
		between("RESULTS_MAX_BYTES", c.ResultsMaxBytes, 0, 1<<50),
		between("REQUEST_MAX_BYTES", c.RequestMaxBytes, 0, 64<<20),
		between("REQUESTS_MAX_BYTES", c.RequestsMaxBytes, 1<<20, 1<<50),
		oneOf("NATS_REPLICAS", c.Replicas, 1, 3, 5),
		oneOf("LOG_FORMAT", strings.ToLower(c.LogFormat), "text", "json"),
		oneOf("LOG_LEVEL", strings.ToUpper(c.LogLevel), "DEBUG", "INFO", "WARN", "WARNING", "ERROR", "CRITICAL"),
		oneOf("MODEL_FALLBACK", strings.ToLower(c.ModelFallback), fallbackAlways, fallbackNever),
		oneOf("BUDGET_ON_DEATH", strings.ToLower(c.BudgetOnDeath), "book", "release"),
		oneOf("BUDGET_WHEN_SPENT", strings.ToLower(c.BudgetWhenSpent), string(tenant.Hold), string(tenant.Fail)),
		oneOf("TRACE_MODE", strings.ToLower(c.TraceMode), "parent", "link"),
	)...)
}

func between[T ~int | ~int64](name string, value, least, most T) error {
	if value < least || value > most {
		return fmt.Errorf("%s=%v: want %v to %v", name, value, least, most)
	}
	return nil
}

func oneOf[T comparable](name string, value T, allowed ...T) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return fmt.Errorf("%s=%v: want one of %v", name, value, allowed)
}

func (c *Config) checkFiles() error {
	var problems []error
	files := []struct{ name, path string }{{"NATS_CREDS", c.Creds}, {"NATS_TLS_CA", c.TLSCA}, {"NATS_TLS_CERT", c.TLSCert}, {"NATS_TLS_KEY", c.TLSKey}}
	for _, file := range files {
		if file.path == "" {
			continue
		}
		if _, err := os.Stat(file.path); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", file.name, err))
		}
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		problems = append(problems, errors.New("NATS_TLS_CERT and NATS_TLS_KEY belong together: set both or neither"))
	}
	if c.HTTPAddr != "" {
		if _, _, err := net.SplitHostPort(c.HTTPAddr); err != nil {
			problems = append(problems, fmt.Errorf("HTTP_ADDR=%s: want host:port or :port", c.HTTPAddr))
		}
	}
	return errors.Join(append(problems, c.checkDebug())...)
}

// checkDebug allows an address that nobody else reaches, unless that is wanted.
func (c *Config) checkDebug() error {
	if c.DebugAddr == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(c.DebugAddr)
	switch {
	case err != nil:
		return fmt.Errorf("DEBUG_ADDR=%s: want host:port, such as 127.0.0.1:6060", c.DebugAddr)
	case !loopback(host) && !c.DebugAllowRemote:
		return fmt.Errorf("DEBUG_ADDR=%s: is not loopback: want 127.0.0.1:port or localhost:port, or set DEBUG_ALLOW_REMOTE=true", c.DebugAddr)
	}
	return nil
}

// checkBatch allows what JetStream's schedules can keep, which have whole seconds.
func (c *Config) checkBatch() error {
	if c.BatchMaxWait == 0 {
		return nil
	}
	return between("BATCH_MAX_WAIT", c.BatchMaxWait, time.Second, 24*time.Hour)
}
