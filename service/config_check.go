package service

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"gemini-client/events"
)

// MaxConcurrency is the largest WORKER_CONCURRENCY.
const MaxConcurrency = 20_000

// Check returns every broken rule at once, each naming its variable, or nil.
func (c *Config) Check() error {
	return errors.Join(c.checkOpenRouter(), c.checkQueue(), c.checkNumbers(), c.checkFiles())
}

// RequireKeys returns an error that says how to get a key if there is none. It
// is apart from Check because provision, ask and config need none.
func (c *Config) RequireKeys() error {
	if len(c.APIKeys) > 0 {
		return nil
	}
	if c.APIKeysFile != "" {
		return fmt.Errorf("%w: OPENROUTER_API_KEYS_FILE: %s holds no key: write one into it (one a line); keys are made at https://openrouter.ai/settings/keys", ErrConfig, c.APIKeysFile)
	}
	return fmt.Errorf("%w: OPENROUTER_API_KEYS is not set: make a key at https://openrouter.ai/settings/keys and set OPENROUTER_API_KEYS=sk-or-v1-... (or OPENROUTER_API_KEYS_FILE to a file that holds it); `make demo` needs none", ErrConfig)
}

func (c *Config) checkOpenRouter() error {
	var mistakes []error
	for i, key := range c.APIKeys {
		mistakes = append(mistakes, checkKey(i, key))
	}
	base, err := url.Parse(c.BaseURL)
	switch {
	case err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https"):
		mistakes = append(mistakes, fmt.Errorf("OPENROUTER_BASE_URL=%s: want an http or https URL such as https://openrouter.ai/api/v1", maskURL(c.BaseURL)))
	case base.Scheme == "http" && !loopback(base.Hostname()) && hasRealKey(c.APIKeys):
		mistakes = append(mistakes, fmt.Errorf("OPENROUTER_BASE_URL=%s: a real key would travel unencrypted: use https:// (http:// is for 127.0.0.1, or for keys that are not OpenRouter's)", maskURL(c.BaseURL)))
	}
	if c.HTTPProxy != "" {
		proxy, err := url.Parse(c.HTTPProxy)
		if err != nil || proxy.Host == "" || !strings.Contains(" http https socks5 socks5h ", " "+proxy.Scheme+" ") {
			mistakes = append(mistakes, fmt.Errorf("HTTP_PROXY=%s: want a URL with http, https or socks5, such as http://hysteria2:8080", maskURL(c.HTTPProxy)))
		}
	}
	return errors.Join(mistakes...)
}

// checkKey refuses what is certainly not OpenRouter's: a Google key must not
// travel there. The text never shows the key.
func checkKey(i int, key string) error {
	switch {
	case os.Getenv("OPENROUTER_API_KEYS") == "" && os.Getenv("OPENROUTER_API_KEYS_FILE") == "" && os.Getenv("GEMINI_API_KEYS") != "" && !strings.HasPrefix(key, "sk-or-"):
		return fmt.Errorf("GEMINI_API_KEYS: entry %d is not an OpenRouter key (sk-or-...), and Google's keys are not sent to OpenRouter: set OPENROUTER_API_KEYS", i+1)
	case strings.HasPrefix(key, "AIza"):
		return fmt.Errorf("OPENROUTER_API_KEYS: entry %d is a Google key: make one at https://openrouter.ai/settings/keys", i+1)
	case strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }):
		return fmt.Errorf("OPENROUTER_API_KEYS: entry %d holds a space or a character that no key has", i+1)
	}
	return nil
}

func hasRealKey(keys []string) bool {
	for _, key := range keys {
		if strings.HasPrefix(key, "sk-or-v1-") {
			return true
		}
	}
	return false
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func (c *Config) checkQueue() error {
	mistakes := []error{c.Names().Validate(), events.CheckCallbacks(c.ResponseQueue, c.callbacks())}
	for _, pattern := range c.ModelsAllow {
		if _, err := path.Match(pattern, ""); err != nil {
			mistakes = append(mistakes, fmt.Errorf("MODELS_ALLOW: %q is not a glob: write names such as google/*", pattern))
		}
	}
	for _, model := range append([]string{c.Model}, c.FallbackModels...) {
		if !matches(c.ModelsAllow, events.ModelName(model)) {
			mistakes = append(mistakes, fmt.Errorf("OPENROUTER_MODEL or OPENROUTER_FALLBACK_MODELS: %q is not in MODELS_ALLOW (%s)", model, strings.Join(c.ModelsAllow, ",")))
		}
	}
	if len(c.RetryDelays) == 0 {
		mistakes = append(mistakes, errors.New("QUEUE_RETRY_DELAYS: want at least one number of seconds"))
	}
	for _, delay := range c.RetryDelays {
		mistakes = append(mistakes, between("QUEUE_RETRY_DELAYS", delay, 1, 30*24*3600))
	}
	if sum := c.retrySum(); c.ResultsMaxAge < 2*sum {
		mistakes = append(mistakes, fmt.Errorf("RESULTS_MAX_AGE=%s: results are the record of what was answered and must outlive the retries twice over: want at least %s (twice the sum of QUEUE_RETRY_DELAYS over QUEUE_MAX_RETRIES)", c.ResultsMaxAge, 2*sum))
	}
	return errors.Join(mistakes...)
}

// retrySum is the longest that a request can wait between its retries.
func (c *Config) retrySum() time.Duration {
	var sum time.Duration
	for n := range c.MaxRetries {
		sum += c.retryDelay(n)
	}
	return sum
}

// retryDelay is the wait before a request comes back for the n-th time,
// counting from 0; the last delay repeats.
func (c *Config) retryDelay(n int) time.Duration {
	if len(c.RetryDelays) == 0 {
		return time.Minute
	}
	return time.Duration(c.RetryDelays[min(n, len(c.RetryDelays)-1)]) * time.Second
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
	return errors.Join(
		between("WORKER_CONCURRENCY", c.Concurrency, 1, MaxConcurrency),
		between("KEYS_MAX_PER_MINUTE", c.KeysMaxPerMinute, 0, 1_000_000),
		between("KEYS_COOLDOWN_SECONDS", c.KeysCooldownSeconds, 1, 24*3600),
		between("QUEUE_MAX_RETRIES", c.MaxRetries, 0, 100),
		between("MAX_STRIKES", c.MaxStrikes, 1, 100),
		between("ACK_WAIT", c.AckWait, 3*time.Second, time.Hour),
		between("RETRY_WAIT_MAX", c.RetryWaitMax, 0, time.Hour),
		between("SHUTDOWN_TIMEOUT", c.ShutdownTimeout, 0, time.Hour),
		between("FIRST_TOKEN_TIMEOUT", c.FirstTokenTimeout, 10*time.Millisecond, time.Hour),
		between("TOKEN_GAP_TIMEOUT", c.TokenGapTimeout, 10*time.Millisecond, time.Hour),
		between("CALL_TIMEOUT", c.CallTimeout, 10*time.Millisecond, 24*time.Hour),
		between("DEADLETTERS_MAX_AGE", c.DeadlettersMaxAge, time.Minute, 10*365*24*time.Hour),
		between("DEADLETTERS_MAX_BYTES", c.DeadlettersMaxBytes, 1<<20, 1<<50),
		between("REQUEST_MAX_BYTES", c.RequestMaxBytes, 0, 64<<20),
		between("REQUESTS_MAX_BYTES", c.RequestsMaxBytes, 1<<20, 1<<50),
		oneOf("NATS_REPLICAS", c.Replicas, 1, 3, 5),
		oneOf("LOG_FORMAT", strings.ToLower(c.LogFormat), "text", "json"),
		oneOf("LOG_LEVEL", strings.ToUpper(c.LogLevel), "DEBUG", "INFO", "WARN", "WARNING", "ERROR", "CRITICAL"),
	)
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
	var mistakes []error
	files := []struct{ name, path string }{{"NATS_CREDS", c.Creds}, {"NATS_TLS_CA", c.TLSCA}, {"NATS_TLS_CERT", c.TLSCert}, {"NATS_TLS_KEY", c.TLSKey}}
	for _, file := range files {
		if file.path == "" {
			continue
		}
		if _, err := os.Stat(file.path); err != nil {
			mistakes = append(mistakes, fmt.Errorf("%s: %w", file.name, err))
		}
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		mistakes = append(mistakes, errors.New("NATS_TLS_CERT and NATS_TLS_KEY belong together: set both or neither"))
	}
	if c.HTTPAddr != "" {
		if _, _, err := net.SplitHostPort(c.HTTPAddr); err != nil {
			mistakes = append(mistakes, fmt.Errorf("HTTP_ADDR=%s: want host:port or :port", c.HTTPAddr))
		}
	}
	return errors.Join(mistakes...)
}
