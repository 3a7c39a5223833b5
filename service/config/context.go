package config

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/synadia-io/orbit.go/natscontext"
)

// readContext has the settings of NATS say what the context says of the servers, and
// leaves the login, TLS and the proxy to who connects with it: a variable goes over the
// context, as in the nats CLI, and the context over the YAML file and the defaults.
func (c *Config) readContext() error {
	if c.Context == "" {
		return nil
	}
	said, err := c.NATS.ContextSettings()
	if err == nil {
		err = checkContext(said)
	}
	if err != nil {
		return c.contextProblem(err)
	}
	prefix := said.JSAPIPrefix
	if said.JSDomain != "" {
		prefix = "$JS." + said.JSDomain + ".API"
	}
	values := map[string]string{"nats_url": said.URL, "nats_inbox_prefix": said.InboxPrefix, "nats_js_api_prefix": prefix}
	if os.Getenv("NATS_PASSWORD")+os.Getenv("NATS_PASSWORD_FILE") != "" {
		values["nats_user"] = said.User // whose password need not be in the context
	}
	for _, f := range c.fields() {
		if f.variable() != "" || !slices.Contains(contextKeys, f.key()) {
			continue
		}
		f.value.SetZero()
		if f.value.Kind() == reflect.String {
			f.value.SetString(cmp.Or(values[f.key()], f.tag.Get("env-default")))
		}
	}
	return nil
}

// contextKeys are the settings that a context takes the place of.
var contextKeys = []string{ //nolint:gochecknoglobals // constant
	"nats_url", "nats_creds", "nats_user", "nats_password", "nats_password_file", "nats_tls_ca", "nats_tls_cert", "nats_tls_key", "nats_tls_first",
	"nats_inbox_prefix", "nats_js_api_prefix",
}

// ContextSettings reads the file of the context.
func (n NATS) ContextSettings() (said natscontext.Settings, err error) {
	file, err := n.ContextFile()
	if err != nil {
		return said, err
	}
	text, err := os.ReadFile(file) //nolint:gosec // the operator names the context
	switch {
	case errors.Is(err, os.ErrNotExist):
		return said, fmt.Errorf("there is no such file (`nats context ls` lists the contexts%s); name one of them, or a context's file by its path", known())
	case err != nil:
		return said, fmt.Errorf("it cannot be read: %w; let this user read it", errors.Unwrap(err))
	}
	if err := json.Unmarshal(text, &said); err != nil {
		return said, fmt.Errorf("it is no context file: %w; `nats context edit` shows what it should be", err)
	}
	return said, nil
}

// ContextFile is where the nats CLI keeps the context of this name, or the file that the
// name is.
func (n NATS) ContextFile() (string, error) {
	if filepath.IsAbs(n.Context) || strings.HasSuffix(n.Context, ".json") {
		return filepath.Abs(n.Context)
	}
	if strings.Contains(n.Context, "..") || strings.ContainsRune(n.Context, os.PathSeparator) {
		return "", errors.New("want a context's name, or its file's path that ends in .json")
	}
	directory, err := contextDirectory()
	return filepath.Join(directory, n.Context+".json"), err
}

// contextDirectory is the nats CLI's.
func contextDirectory() (string, error) {
	if config := os.Getenv("XDG_CONFIG_HOME"); config != "" {
		return filepath.Abs(filepath.Join(config, "nats", "context"))
	}
	me, err := user.Current()
	if err == nil && me.HomeDir == "" {
		err = errors.New("this user has none")
	}
	if err != nil {
		return "", fmt.Errorf("the home directory is not known: %w; set XDG_CONFIG_HOME, or name the context's file by its path", err)
	}
	return filepath.Join(me.HomeDir, ".config", "nats", "context"), nil
}

// ContextNames are those of the nats CLI's contexts.
func ContextNames() []string {
	directory, err := contextDirectory()
	if err != nil {
		return nil
	}
	entries, _ := os.ReadDir(directory) // without it there are none
	var names []string
	for _, entry := range entries {
		if name, isContext := strings.CutSuffix(entry.Name(), ".json"); isContext {
			names = append(names, name)
		}
	}
	return names
}

func known() string {
	if names := ContextNames(); len(names) > 0 {
		return ": " + strings.Join(names, ", ")
	}
	return ""
}

// contextProblem names the context and its file.
func (n NATS) contextProblem(err error) error {
	if file, unknown := n.ContextFile(); unknown == nil {
		return fmt.Errorf("NATS context %q (NATS_CONTEXT or --context), file %s: %w", n.Context, file, err)
	}
	return fmt.Errorf("NATS context %q (NATS_CONTEXT or --context): %w", n.Context, err)
}

// checkContext refuses what would not work, or would be left out without a word: the
// service would connect as somebody else, or elsewhere. It shows no password.
func checkContext(said natscontext.Settings) error {
	var problems []error
	for name, value := range map[string]string{"nsc": said.NSCLookup, "user_jwt": said.UserJwt, "windows_cert_store": said.WinCertStoreType} {
		if value != "" {
			problems = append(problems, fmt.Errorf("%s is not supported here: give the context a url, and creds or another login", name))
		}
	}
	if said.JSDomain != "" && said.JSAPIPrefix != "" {
		problems = append(problems, errors.New("jetstream_domain and jetstream_api_prefix exclude each other: keep one of them"))
	}
	if (said.Cert == "") != (said.Key == "") {
		problems = append(problems, errors.New("cert and key belong together: set both or neither"))
	}
	if (NATS{URL: cmp.Or(said.URL, "nats://127.0.0.1:4222")}).CheckServers() != nil {
		problems = append(problems, fmt.Errorf("url %s: want URLs such as nats://127.0.0.1:4222, separated by commas; set user and password apart", MaskURL(said.URL)))
	}
	if proxy, err := url.Parse(said.SocksProxy); said.SocksProxy != "" && (err != nil || proxy.Hostname() == "" || !slices.Contains([]string{"socks5", "socks5h"}, proxy.Scheme)) {
		problems = append(problems, fmt.Errorf("socks_proxy %s: want a URL such as socks5://127.0.0.1:1080", MaskURL(said.SocksProxy)))
	}
	return errors.Join(append(problems, checkContextFiles(said))...)
}

// checkContextFiles refuses a context whose files cannot be read.
func checkContextFiles(said natscontext.Settings) error {
	var problems []error
	creds := os.ExpandEnv(said.Creds)
	if creds == "" && said.Creds != "" {
		problems = append(problems, fmt.Errorf("creds: nothing is left of %s, as no such variable is set: set it, or correct the context", said.Creds))
	}
	files := []struct{ name, path string }{{"creds", creds}, {"nkey", said.NKey}, {"cert", said.Cert}, {"key", said.Key}, {"ca", said.CA}}
	for _, file := range files {
		if file.path == "" {
			continue
		}
		if err := readable(inHome(file.path)); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w; put the file there, or correct the context", file.name, err))
		}
	}
	return errors.Join(problems...)
}

// inHome is a path of a context, as natscontext reads it.
func inHome(path string) string {
	if me, err := user.Current(); err == nil && path[0] == '~' {
		return me.HomeDir + path[1:]
	}
	return path
}

func readable(path string) error {
	file, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return err
	}
	return file.Close()
}
