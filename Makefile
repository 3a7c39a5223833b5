# gemini-client: what a person types. CI calls the same targets.
GOLANGCI_LINT := v2.15.0
FUZZTIME ?= 30s
SEEDS ?= 10
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LINT := .tools/golangci-lint-$(GOLANGCI_LINT)
# every fuzz target, as package:name
FUZZ = $(shell grep -rhoE '^func Fuzz[A-Za-z0-9_]+' --include='*_test.go' . | sed 's/func //' | sort)

.DEFAULT_GOAL := help
.PHONY: help demo run build test lint fuzz integration chaos bench tidy config-table

help: ## show this help
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: build ## watch a question travel through JetStream and back; no key, no server, no Docker
	@go run ./cmd/demo bin

run: build ## answer requests with embedded NATS; needs OPENROUTER_API_KEYS
	@bin/gemini-client serve --embedded

build: ## build both programs into bin/
	@go build -trimpath -ldflags "-s -w -X main.stamped=$(VERSION)" -o bin/ ./cmd/gemini-client ./cmd/openrouter-sim

test: ## run every test with the race detector: real embedded NATS, OpenRouter simulator
	go test -race -parallel 16 -timeout 5m ./...

lint: $(LINT) ## check style, bugs and the import table
	$(LINT) run ./...

fuzz: ## fuzz each target for FUZZTIME (30s)
	@for target in $(FUZZ); do \
	  for package in $$(grep -rlE "^func $$target\(" --include='*_test.go' . | xargs -n1 dirname | sort -u); do \
	    echo "fuzz $$package $$target $(FUZZTIME)"; \
	    go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s $$package || exit 1; \
	  done; \
	done

integration: ## run the integration suite: real processes, the figures and three seeds of chaos
	go test -tags integration -parallel 4 -timeout 20m ./service/integration/...

chaos: ## play SEEDS (10) scenarios of faults, or one again with SEED=n
	CHAOS_SEEDS=$(SEEDS) CHAOS_SEED=$(SEED) go test -tags integration -run '^TestChaos$$' -parallel 3 -timeout 4h -v ./service/integration

bench: ## run the benchmarks
	go test -run '^$$' -bench . -benchmem ./...

tidy: $(LINT) ## format, tidy modules, write README's configuration table
	$(LINT) fmt ./...
	go mod tidy
	go test ./cmd/gemini-client -run TestReadmeTable -update

$(LINT):
	@mkdir -p .tools
	GOBIN=$(CURDIR)/.tools go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT)
	@mv .tools/golangci-lint $@
