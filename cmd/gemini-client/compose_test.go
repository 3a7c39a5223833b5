package main

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"gemini-client/service/config"
)

// composeService is the part of a service in docker-compose.yml that these tests
// check.
type composeService struct {
	Image       string             `yaml:"image"`
	Build       any                `yaml:"build"`
	Profiles    []string           `yaml:"profiles"`
	Environment map[string]*string `yaml:"environment"`
	Grace       string             `yaml:"stop_grace_period"`
	Ports       []string           `yaml:"ports"`
	Secrets     []string           `yaml:"secrets"`
	DependsOn   map[string]any     `yaml:"depends_on"`
	Deploy      any                `yaml:"deploy"`
}

// notPassedOn are the settings that the stack does not take from .env, and
// why.
func notPassedOn() map[string]string {
	return map[string]string{
		"OPENROUTER_API_KEYS": "keys come from a secret file",
		"NATS_CONTEXT":        "the stack's NATS is fixed, and its containers have no home",
		"NATS_PASSWORD":       "passwords come from secret files",
		"NATS_CREDS":          "the stack's users have passwords",
		"NATS_TLS_CA":         "the stack's NATS has no TLS",
		"NATS_TLS_CERT":       "the stack's NATS has no TLS",
		"NATS_TLS_KEY":        "the stack's NATS has no TLS",
		"NATS_TLS_FIRST":      "the stack's NATS has no TLS",
		"NATS_EMBEDDED":       "the stack has a server",
		"NATS_STORE_DIR":      "the stack has a server",
	}
}

// repositoryFile returns a file of the repository's root.
func repositoryFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func composeServices(t *testing.T) map[string]composeService {
	t.Helper()
	var file struct {
		Version  any                       `yaml:"version"`
		Name     any                       `yaml:"name"`
		Services map[string]composeService `yaml:"services"`
	}
	if err := yaml.Unmarshal([]byte(repositoryFile(t, "docker-compose.yml")), &file); err != nil {
		t.Fatal(err)
	}
	if file.Version != nil || file.Name != nil {
		t.Error("version and name are not for both generations of compose")
	}
	return file.Services
}

// settings are the service's, by name.
func settings() map[string]config.Setting {
	list := map[string]config.Setting{}
	for _, s := range new(config.Config).Settings() {
		list[s.Name] = s
	}
	return list
}

func TestComposePassesEverySetting(t *testing.T) {
	environment := composeServices(t)["gemini-client"].Environment
	known := settings()
	for name := range known {
		_, passed := environment[name]
		if why, not := notPassedOn()[name]; passed == not {
			t.Errorf("%s: passed on %v, although: %q", name, passed, why)
		}
	}
	var older []string
	for _, s := range known {
		older = append(older, s.Older...)
	}
	for name := range environment {
		_, setting := known[name]
		if !setting && !slices.Contains(older, name) && !strings.HasPrefix(name, "OTEL_") && name != "GOMEMLIMIT" {
			t.Errorf("%s is no setting of the service", name)
		}
	}
}

// The three parties have their own user, inboxes and secret, and agree on the
// names of the queues.
func TestComposeUsers(t *testing.T) {
	services := composeServices(t)
	for name, user := range map[string]string{"gemini-client": "worker", "provision": "admin", "admin": "admin", "ask": "backend"} {
		s := services[name]
		for variable, want := range map[string]string{
			"NATS_USER": user, "NATS_INBOX_PREFIX": "_INBOX_" + user, "NATS_PASSWORD_FILE": "/run/secrets/" + user + "_password",
		} {
			if have := s.Environment[variable]; have == nil || *have != want {
				t.Errorf("%s: %s is not %s", name, variable, want)
			}
		}
		if !slices.Contains(s.Secrets, user+"_password") {
			t.Errorf("%s has not its secret: %v", name, s.Secrets)
		}
		for _, variable := range []string{"REQUEST_QUEUE", "RESPONSE_QUEUE", "SUBJECT_PREFIX", "STREAM_PREFIX", "CALLBACK_ALLOW"} {
			if _, ok := s.Environment[variable]; !ok {
				t.Errorf("%s: %s is not passed on", name, variable)
			}
		}
	}
}

func TestComposeServices(t *testing.T) {
	services := composeServices(t)
	for name, s := range services {
		if !strings.HasPrefix(s.Image, "${") || !strings.Contains(s.Image, ":-") {
			t.Errorf("%s: image %q has no variable with a default", name, s.Image)
		}
		if strings.Contains(s.Image, "-source") {
			t.Errorf("%s: %q is not an official image", name, s.Image)
		}
		if s.Deploy != nil {
			t.Errorf("%s: docker-compose 1.29 ignores deploy", name)
		}
		for _, port := range s.Ports {
			if !strings.Contains(port, ":-127.0.0.1}:") {
				t.Errorf("%s: port %s is open to other machines by default", name, port)
			}
		}
	}
	for name, profile := range map[string]string{"openrouter-sim": "demo", "hysteria2": "hysteria2", "ask": "tools", "admin": "tools", "prometheus": "observe", "nats-exporter": "observe", "grafana": "observe"} {
		if !slices.Equal(services[name].Profiles, []string{profile}) {
			t.Errorf("%s: profiles %v, want %s alone", name, services[name].Profiles, profile)
		}
	}
	for name := range services {
		if strings.Contains(services[name].Image, "openrouter-sim") && len(services[name].Profiles) == 0 {
			t.Errorf("%s is a simulator and starts by default", name)
		}
	}
	client := services["gemini-client"]
	if _, waits := client.DependsOn["jaeger"]; waits {
		t.Error("gemini-client waits for Jaeger")
	}
	if base := client.Environment["OPENROUTER_BASE_URL"]; base != nil {
		t.Errorf("OPENROUTER_BASE_URL is %q by default", *base)
	}
	grace, err := time.ParseDuration(defaultOf(client.Grace))
	if err != nil {
		t.Fatal(err)
	}
	shutdown, err := time.ParseDuration(settings()["SHUTDOWN_TIMEOUT"].Default)
	if err != nil {
		t.Fatal(err)
	}
	if more := 10 * time.Second; grace < shutdown+more {
		t.Errorf("stop_grace_period: %s is not %s above SHUTDOWN_TIMEOUT (%s), as deploy/README.md asks for", grace, more, shutdown)
	}
}

// Compose v2 builds everything at once, and of two builds of one tag the second
// may fail. The one build belongs to what the other services wait for.
func TestComposeBuildsOnce(t *testing.T) {
	services := composeServices(t)
	builders := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(services)) {
		if services[name].Build != nil {
			builders[services[name].Image] = append(builders[services[name].Image], name)
		}
	}
	for image, names := range builders {
		if len(names) != 1 {
			t.Errorf("%s is built by %v", image, names)
		}
	}
	if client := services["gemini-client"]; !slices.Equal(builders[client.Image], []string{"provision"}) {
		t.Errorf("gemini-client's image is built by %v, not by provision", builders[client.Image])
	} else if _, waits := client.DependsOn["provision"]; !waits {
		t.Error("gemini-client does not wait for provision, which builds its image")
	}
}

var composeVariable = regexp.MustCompile(`\$\{([A-Z_]+)(?::-([^}]*))?`)

// defaultOf returns DEFAULT of ${NAME:-DEFAULT}, or the text itself.
func defaultOf(text string) string {
	if m := composeVariable.FindStringSubmatch(text); m != nil {
		return m[2]
	}
	return text
}

// .env.example explains what docker-compose.yml and the service read, with
// their defaults, and nothing else.
func TestEnvironmentExample(t *testing.T) {
	want := map[string]string{}
	for _, s := range composeServices(t) {
		for name, value := range s.Environment {
			if value == nil {
				want[name] = ""
			}
		}
	}
	for _, m := range composeVariable.FindAllStringSubmatch(repositoryFile(t, "docker-compose.yml"), -1) {
		want[m[1]] = m[2]
	}
	example := repositoryFile(t, ".env.example")
	have := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^#?([A-Z_]+)=(.*)$`).FindAllStringSubmatch(example, -1) {
		if _, twice := have[m[1]]; twice {
			t.Errorf("%s is there twice", m[1])
		}
		have[m[1]] = m[2]
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		shown, ok := have[name]
		if !ok {
			t.Errorf("%s is missing", name)
		}
		def := want[name]
		if s, ok := settings()[name]; ok && def == "" && shown != s.Default {
			t.Errorf("%s: shows %q, the default is %q", name, shown, s.Default)
		}
		if def != "" && shown != def {
			t.Errorf("%s: shows %q, docker-compose.yml has %q", name, shown, def)
		}
	}
	for name := range have {
		if _, ok := want[name]; !ok {
			t.Errorf("%s does nothing", name)
		}
	}
	for name := range settings() {
		if !regexp.MustCompile(`\b` + name + `\b`).MatchString(example) {
			t.Errorf("the setting %s is not explained", name)
		}
	}
}

// The versions in docker-compose.yml, deploy/images and go.mod are one.
func TestImageVersions(t *testing.T) {
	module := repositoryFile(t, "go.mod")
	nats := regexp.MustCompile(`nats-server/v2 v(\S+)`).FindStringSubmatch(module)[1]
	golang := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(module)[1]
	for file, text := range map[string]string{
		"docker-compose.yml":     "nats:" + nats + "-alpine",
		"deploy/images/build.sh": "NATS_VERSION=" + nats,
		"deploy/Dockerfile":      "GO_IMAGE=golang:" + golang + "-alpine",
	} {
		if !strings.Contains(repositoryFile(t, file), text) {
			t.Errorf("%s: has no %s, as go.mod says", file, text)
		}
	}
}

// The demo must not be taken for something safe, nor for something real.
func TestDemoSecrets(t *testing.T) {
	for _, file := range []string{"nats_secrets", "openrouter_api_keys"} {
		if text := repositoryFile(t, "deploy/demo/"+file); !strings.HasPrefix(text, "# DEMO ONLY") || strings.Contains(text, "sk-or-v1-") {
			t.Errorf("%s does not say that it is a demo's, or holds a real key", file)
		}
	}
	secrets := repositoryFile(t, "deploy/demo/nats_secrets")
	for _, user := range []string{"admin", "worker", "backend"} {
		password := strings.TrimSpace(repositoryFile(t, "deploy/demo/"+user+"_password"))
		if !strings.Contains(secrets, strings.ToUpper(user)+`_PASSWORD: "`+password+`"`) || !strings.HasPrefix(password, "demo-") {
			t.Errorf("%s: password %q is not that of nats_secrets, or not a demo's", user, password)
		}
	}
}
