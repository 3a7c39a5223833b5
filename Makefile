# gemini-client: what a person types. CI calls the same targets.
GOLANGCI_LINT := v2.15.0
XTOOLS := v0.52.0
XPERF := v0.0.0-20260908200009-22c9c6c9d4da
XVULN := v1.9.0
GO_LICENSES := v1.6.0
CYCLONEDX_GOMOD := v1.10.0
FUZZTIME ?= 30s
SERVICE_FUZZTIME ?= $(FUZZTIME)
SEEDS ?= 10
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LINT := .tools/golangci-lint-$(GOLANGCI_LINT)
DEADCODE := .tools/deadcode-$(XTOOLS)
BENCHSTAT := .tools/benchstat-$(XPERF)
VULNCHECK := .tools/govulncheck-$(XVULN)
LICENSES := .tools/go-licenses-$(GO_LICENSES)
CYCLONEDX := .tools/cyclonedx-gomod-$(CYCLONEDX_GOMOD)
# of what the programs are linked with: none asks for more than its notice, or its own
# source where that is changed
LICENCES_ALLOW := MIT,BSD-2-Clause,BSD-3-Clause,Apache-2.0,ISC,MPL-2.0
BENCH_COUNT ?= 6
# every fuzz target, as package:name
FUZZ = $(shell grep -rhoE '^func Fuzz[A-Za-z0-9_]+' --include='*_test.go' . | sed 's/func //' | sort)

# images: the network of `docker build` (default for one of its own), a builder
# that leaves images with the engine, engines without buildx, either generation
# of compose, and images built from source unless the environment names others
# (`make images` writes that file)
BUILD_NETWORK ?= host
BUILDER = $(if $(shell docker buildx version 2>/dev/null),BUILDX_BUILDER=$(or $(BUILDX_BUILDER),default),DOCKER_BUILDKIT=0 COMPOSE_DOCKER_CLI_BUILD=0)
COMPOSE = $(BUILDER) $(if $(shell docker compose version 2>/dev/null),docker compose,docker-compose)
$(foreach line,$(shell cat .tools/images.env 2>/dev/null),$(eval export $(subst =, ?= ,$(line))))
MAX_IMAGE := 30000000
# build tags of the image, for what is measured and checked as the image has it
IMAGE_TAGS = $(shell sed -n 's/.*go build -tags \([^ ]*\) .*/\1/p' deploy/Dockerfile)
# and the whole command, which reads the variable VERSION, up to what it builds
IMAGE_BUILD = export CGO_ENABLED=0 VERSION=$(VERSION) && $(shell sed -n 's/^RUN \(go build .*\) -o .*/\1/p' deploy/Dockerfile)
PROGRAMS := ./cmd/gemini-client ./cmd/openrouter-sim

.DEFAULT_GOAL := help
.PHONY: help demo run build test lint fuzz integration chaos bench bench-e2e tidy vuln licences sbom reproducible image images up-demo down-demo

help: ## show this help
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: build ## watch a question travel through JetStream and back; no key, no server, no Docker
	@go run ./cmd/demo bin

run: build ## answer requests with embedded NATS; needs OPENROUTER_API_KEYS
	@bin/gemini-client serve --embedded

build: ## build both programs into bin/
	@go build -trimpath -ldflags "-s -w -X main.stamped=$(VERSION)" -o bin/ ./cmd/gemini-client ./cmd/openrouter-sim

test: ## run every test with the race detector: real embedded NATS, OpenRouter simulator
	go build -race ./service/... # on a cold machine compiling would starve the tests
	GORACE=atexit_sleep_ms=0 go test -race -p 2 -parallel 12 -timeout 20m ./service/integration/... ./cmd/... ./service/bus ./... # tests mostly wait; the longest first
	GORACE=atexit_sleep_ms=0 go -C deploy test -race ./... # a module of its own, last: its libraries take minutes to compile on a cold machine

# servicetest is for tests and events/client for backends, so no program reaches all of them; tests do
lint: $(LINT) $(DEADCODE) ## check style, bugs, dead code and the import table
	$(LINT) run ./...
	go vet -tags $(IMAGE_TAGS) ./cmd/gemini-client
	@echo '$(DEADCODE) ./...'; dead=$$($(DEADCODE) -test ./... && $(DEADCODE) ./... | grep -vE '^(service/servicetest|events/client)/'); test -z "$$dead" || { echo "$$dead"; exit 1; }
	cd deploy && ../$(LINT) run ./...
	go -C deploy vet ./...
	@echo 'cd deploy && ../$(DEADCODE) -test ./...'; cd deploy && dead=$$(../$(DEADCODE) -test ./...) && test -z "$$dead" || { echo "$$dead"; exit 1; }

# FuzzMessage plays each input through a running service: some tens a second on two cores
fuzz: ## fuzz each target for FUZZTIME (30s), the whole service for SERVICE_FUZZTIME
	@for target in $(FUZZ); do \
	  for package in $$(grep -rlE "^func $$target\(" --include='*_test.go' . | xargs -n1 dirname | sort -u); do \
	    time=$(FUZZTIME); test $$target != FuzzMessage || time=$(SERVICE_FUZZTIME); \
	    echo "fuzz $$package $$target $$time"; \
	    go test -run '^$$' -fuzz "^$$target$$" -fuzztime $$time -fuzzminimizetime 1s $$package || exit 1; \
	  done; \
	done

# never from the cache: Go does not know that these tests build the program
integration: ## run the integration suite: killed and starved processes, then containers (needs Docker)
	go test -count 1 -tags integration -timeout 5m ./cmd/bench # a benchmark made small; beside others it would starve them
	go test -count 1 -tags integration -timeout 5m -v -run '^TestPythonExample$$' ./service/integration/inprocess # -v: says if it is skipped
	go test -count 1 -tags integration -parallel 4 -timeout 20m ./service/integration
	$(BUILDER) go test -count 1 -tags integration -v -parallel 4 -timeout 20m ./service/integration/stack

chaos: ## play SEEDS (10) scenarios of faults, or one again with SEED=n
	CHAOS_SEEDS=$(SEEDS) CHAOS_SEED=$(SEED) go test -count 1 -tags integration -run '^TestChaos$$' -parallel 3 -timeout 4h -v ./service/integration

bench: $(BENCHSTAT) ## run the micro benchmarks, compare them with the last release's
	@mkdir -p bin
	{ go test -run '^$$' -bench . -benchmem -count $(BENCH_COUNT) ./... || echo FAIL; } | tee bin/bench.txt
	@! grep -q '^FAIL' bin/bench.txt
	$(BENCHSTAT) $(wildcard cmd/bench/baseline.txt) bin/bench.txt

bench-e2e: build ## measure the service, as the image has it, beside a bare loop; BENCH="--help" shows how
	@go build -tags $(IMAGE_TAGS) -trimpath -ldflags "-s -w -X main.stamped=$(VERSION)" -o bin/worker ./cmd/gemini-client
	@go build -o bin/bench ./cmd/bench
	@bin/bench --json bin/bench.json --svg bin/bench.svg $(BENCH)

# without the image's tags: with the NATS server that only --embedded runs
vuln: $(VULNCHECK) ## look for known vulnerabilities in what the programs call
	@.ci/vuln $(VULNCHECK) $(PROGRAMS)

licences: $(LICENSES) ## check the licences of what the programs are linked with, as built here and as the image has them
	@for tags in none $(IMAGE_TAGS); do \
	  echo "licences with tags $$tags: $(LICENCES_ALLOW)"; \
	  GOFLAGS=-tags=$$tags $(LICENSES) check --ignore gemini-client --allowed_licenses=$(LICENCES_ALLOW) $(PROGRAMS) || exit 1; \
	done

sbom: $(CYCLONEDX) ## list what the image's program is made of: bin/sbom.json (CycloneDX), from the binary
	@mkdir -p bin
	@$(IMAGE_BUILD) -o bin/worker ./cmd/gemini-client
	@$(CYCLONEDX) bin -json -licenses -version $(VERSION) -output bin/sbom.json bin/worker
	@echo "bin/sbom.json: $$(grep -c '"purl"' bin/sbom.json) components of $$(sha256sum bin/worker)"

# FRESH=1 compiles the second one anew as well, which takes minutes
reproducible: ## build the committed programs in two directories, as the image does: their bytes must be the same
	@dir=$$(mktemp -d) && trap 'chmod -R u+w "$$dir"; rm -rf "$$dir"' EXIT && for at in one two/deeper; do \
	  mkdir -p "$$dir/$$at" && git archive HEAD | tar -x -C "$$dir/$$at" && \
	  (cd "$$dir/$$at" && { test "$$at$(FRESH)" != two/deeper1 || export GOCACHE="$$dir/cache"; } && $(IMAGE_BUILD) -o out/ $(PROGRAMS) && cd out && sha256sum *) | tee "$$dir/$${at%%/*}.txt" || exit 1; \
	done && cmp "$$dir/one.txt" "$$dir/two.txt" && test -s "$$dir/one.txt" && echo 'the same bytes'

image: ## build the service's image, gemini-client:VERSION and gemini-client:dev
	$(BUILDER) docker build -f deploy/Dockerfile --network $(BUILD_NETWORK) -t gemini-client:$(VERSION) -t gemini-client:dev \
	  --build-arg VERSION=$(VERSION) --build-arg REVISION=$(shell git rev-parse HEAD 2>/dev/null) \
	  $(if $(GO_IMAGE),--build-arg GO_IMAGE=$(GO_IMAGE)) $(if $(GOPROXY),--build-arg GOPROXY=$(GOPROXY)) .
	@size=$$(docker image inspect -f '{{.Size}}' gemini-client:dev); echo "gemini-client:dev: $$size bytes, at most $(MAX_IMAGE)"; test $$size -lt $(MAX_IMAGE)

images: ## build NATS, Jaeger, a proxy and Go's image from source, where nothing can be pulled
	@sh deploy/images/build.sh

up-demo: ## start NATS, Jaeger, the service and an OpenRouter simulator in containers
	GEMINI_CLIENT_VERSION=$(VERSION) $(COMPOSE) --env-file deploy/demo.env --profile demo up -d --build
	@echo 'ask:    $(COMPOSE) --env-file deploy/demo.env run --rm ask "Why is the sky blue?"'
	@echo 'traces: http://127.0.0.1:16686'

down-demo: ## stop the demo and delete its data
	$(COMPOSE) --env-file deploy/demo.env --profile demo down -v

tidy: $(LINT) ## format, tidy modules, write the tables of the READMEs
	$(LINT) fmt ./...
	cd deploy && ../$(LINT) fmt ./...
	go mod tidy
	go -C deploy mod tidy # after the service's, which it requires
	go -C deploy generate ./...
	go test ./cmd/bench ./cmd/gemini-client ./telemetry -run '^TestReadmeTables$$' -update

$(LINT):
	@mkdir -p .tools
	GOBIN=$(CURDIR)/.tools go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT)
	@mv .tools/golangci-lint $@

$(DEADCODE):
	@mkdir -p .tools
	GOBIN=$(CURDIR)/.tools go install golang.org/x/tools/cmd/deadcode@$(XTOOLS)
	@mv .tools/deadcode $@

$(VULNCHECK):
	@mkdir -p .tools
	GOBIN=$(CURDIR)/.tools go install golang.org/x/vuln/cmd/govulncheck@$(XVULN)
	@mv .tools/govulncheck $@

$(LICENSES):
	@mkdir -p .tools
	GOBIN=$(CURDIR)/.tools go install github.com/google/go-licenses@$(GO_LICENSES)
	@mv .tools/go-licenses $@

$(CYCLONEDX):
	@mkdir -p .tools
	GOBIN=$(CURDIR)/.tools go install github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@$(CYCLONEDX_GOMOD)
	@mv .tools/cyclonedx-gomod $@

$(BENCHSTAT):
	@mkdir -p .tools
	GOBIN=$(CURDIR)/.tools go install golang.org/x/perf/cmd/benchstat@$(XPERF)
	@mv .tools/benchstat $@
