SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

BIN := $(CURDIR)/.bin
export PATH := $(BIN):$(PATH)

# What may be set on the command line.
PKG     ?= ./...
RUN     ?=
TIMEOUT ?= 10m
BENCH   ?= .
COUNT   ?= 6
OLD     ?=
NEW     ?=
FUZZTIME ?= 30s
REF     ?=
SEGMENTS ?=
SEEDS   ?= 10000
FROM    ?= 0
SEED    ?=
ONLY    ?= .
ROUNDS  ?= 50
MESSAGES ?= 1000000
OVERLOAD ?= 10s
OUTAGE  ?= 10s
STREAMS ?= 1000
ACKS    ?= 10s
ARGS    ?=

# Pinned in .tools/go.mod, built when missing and when that file changes.
TOOLS := $(addprefix $(BIN)/,benchstat buf golangci-lint protoc-gen-go protoc-gen-go-grpc)

# True where `go test -race` works: the platform has it, and there is a C compiler with its headers.
CAN_RACE = go list -race runtime/race >/dev/null 2>&1 && \
	printf '\#include <stdlib.h>\nint main(void) { return 0; }\n' | $$(go env CC) -x c -o /dev/null - 2>/dev/null

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the static binary .bin/trestle
	@version=$$(git describe --tags --always --dirty 2>/dev/null || true); \
	CGO_ENABLED=0 go build -trimpath -ldflags "-X main.version=$$version" -o $(BIN)/trestle ./cmd/trestle; \
	echo "built .bin/trestle $$version"

# The tests of the command line build the binary: compiled first, so that no test's deadline pays for it.
.PHONY: test
test: ## Run the tests, with the race detector where it works (PKG=./... RUN=regexp TIMEOUT=10m)
	@race=-race; \
	if $(CAN_RACE); then \
		echo "go test with the race detector"; \
	else \
		race=; echo "go test WITHOUT the race detector: it needs cgo and a C compiler with its headers"; \
	fi; \
	go list -f '{{if .GoFiles}}{{.ImportPath}}{{end}}' $(PKG) | xargs -r go build -o /dev/null; \
	go test $$race -shuffle=on -timeout $(TIMEOUT) $(if $(RUN),-run '$(RUN)') $(PKG)
	@if [ '$(PKG)$(RUN)' = ./... ]; then cd .compat && go test -short -count 1 -timeout $(TIMEOUT) ./...; fi

.PHONY: lint
lint: lint-go lint-proto breaking ## Run every check of the source: lint-go, lint-proto, breaking

.PHONY: lint-go
lint-go: $(BIN)/golangci-lint ## Run go vet and golangci-lint
	go vet ./...
	golangci-lint run

.PHONY: lint-proto
lint-proto: $(BIN)/buf ## Run buf lint and check the format of the .proto files
	cd proto && buf lint
	cd proto && buf format --diff --exit-code

.PHONY: breaking
breaking: $(BIN)/buf ## Compare the .proto files with those of main: nothing that clients rely on may break
	@main=$$(git rev-parse --verify --quiet 'origin/main^{commit}' || git rev-parse --verify --quiet 'main^{commit}' || true); \
	if [ -z "$$main" ] || ! git cat-file -e "$$main:proto/buf.yaml" 2>/dev/null; then \
		echo "buf breaking: no proto/buf.yaml on main, nothing to compare with"; \
		exit; \
	fi; \
	base=$$(git merge-base HEAD "$$main" 2>/dev/null || echo "$$main"); \
	echo "buf breaking: against $$(git rev-parse --short "$$base") of main"; \
	rm -rf $(BIN)/main && mkdir -p $(BIN)/main; \
	git archive "$$base" proto | tar -x -C $(BIN)/main; \
	cd proto && buf breaking --against $(BIN)/main/proto

.PHONY: fmt
fmt: $(BIN)/golangci-lint $(BIN)/buf ## Format the Go and .proto files
	golangci-lint fmt
	cd proto && buf format --write

# Generated aside first: a .proto file with a mistake leaves the tree as it was.
.PHONY: generate
generate: $(BIN)/buf $(BIN)/protoc-gen-go $(BIN)/protoc-gen-go-grpc ## Generate the Go code of the .proto files, beside them
	@rm -rf $(BIN)/generated
	cd proto && buf generate --output $(BIN)/generated
	@find proto -name '*.pb.go' -delete
	@cp -R $(BIN)/generated/. proto/

.PHONY: check-generate
check-generate: generate ## Check that the committed generated code is that of the .proto files
	@stale=$$(git status --porcelain --untracked-files=all -- ':(glob)proto/**/*.pb.go'); \
	if [ -n "$$stale" ]; then \
		git --no-pager diff --stat -- ':(glob)proto/**/*.pb.go'; \
		echo "$$stale"; \
		echo "generated code differs from what is committed: run 'make generate' and commit the result" >&2; \
		exit 1; \
	fi

.PHONY: check-readers
check-readers: ## Check that protoc and Node read segment files as Go does (SEGMENTS="FILE…", else the golden ones)
	proto/examples/check-readers.sh $(SEGMENTS)

.PHONY: compat
compat: ## Drive a server with Liftbridge's own Go client, a module of its own (RUN=regexp)
	@cd .compat && go vet ./... && go test -count 1 -timeout $(TIMEOUT) $(if $(RUN),-run '$(RUN)') ./...

.PHONY: compat-liftbridge
compat-liftbridge: ## Drive Liftbridge v1.9.0 with the same suite: it must differ as the table says, and not otherwise
	@mkdir -p $(BIN) && go build -C .compat/liftbridge -o $(BIN)/liftbridge github.com/liftbridge-io/liftbridge; \
	cd .compat && go test -count 1 -timeout 20m -v -run '^TestDifferences$$' . -compare $(BIN)/liftbridge

.PHONY: size
size: ## Print Go files above 400 lines and functions above 60 (a report: fails nothing)
	@find . -name '*.go' -not -name '*.pb.go' -not -path './.*' | sort | xargs awk ' \
		FNR == 1 { report() } \
		{ file = FILENAME; lines = FNR } \
		/^func / { start = FNR; name = $$0; sub(/ *{.*/, "", name) } \
		/^}/ && start { if (FNR-start-1 > 60) printf "%5d  %s:%d %s\n", FNR-start-1, FILENAME, start, name; start = 0 } \
		/^func .*}$$/ { start = 0 } \
		END { report() } \
		function report() { if (lines > 400) printf "%5d  %s\n", lines, file; start = 0 }'

.PHONY: bench
bench: ## Run the benchmarks into .bin/bench/VERSION.txt (PKG=./... BENCH=regexp COUNT=6)
	@mkdir -p $(BIN)/bench; \
	go test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) $(PKG) | \
		tee "$(BIN)/bench/$$(git describe --tags --always --dirty).txt"

.PHONY: bench-compare
bench-compare: $(BIN)/benchstat ## Compare two such files (OLD=file NEW=file), or REF with what is here (REF=main PKG=./commitlog BENCH=regexp)
	@old=$(OLD) new=$(NEW); \
	if [ -n "$(REF)" ]; then \
		rm -rf $(BIN)/ref && mkdir -p $(BIN)/ref $(BIN)/bench; \
		git archive "$(REF)" | tar -x -C $(BIN)/ref; \
		old=$(BIN)/bench/ref.txt new=$(BIN)/bench/here.txt; \
		(cd $(BIN)/ref && go test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) $(PKG)) >$$old; \
		go test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) $(PKG) >$$new; \
		rm -rf $(BIN)/ref; \
	elif [ -z "$$old" ] || [ -z "$$new" ]; then \
		echo "which two? make bench-compare OLD=.bin/bench/… NEW=.bin/bench/…, or REF=main" >&2; exit 2; \
	fi; \
	benchstat "$$old" "$$new"

.PHONY: bench-vs
bench-vs: build ## Compare with core NATS and JetStream, side by side, for some minutes (ARGS="--quick --rounds 7 --size 1024")
	$(BIN)/trestle bench vs core $(ARGS)
	$(BIN)/trestle bench vs jetstream $(ARGS)

.PHONY: bench-liftbridge
bench-liftbridge: build ## Compare with Liftbridge v1.9.0, side by side, for some minutes (ARGS="--quick")
	@go build -C .compat/liftbridge -o $(BIN)/liftbridge github.com/liftbridge-io/liftbridge
	$(BIN)/trestle bench vs liftbridge --program $(BIN)/liftbridge $(ARGS)

.PHONY: docker-check
docker-check: ## Run the build line of docker/Dockerfile and look at what it makes
	@go test -count 1 -timeout 10m -run '^TestDocker' -v ./cmd/trestle -docker

.PHONY: bench-smoke
bench-smoke: ## Hold allocations per record, and ratios to NATS, against wide bounds; times are not judged
	@go test -count 1 -timeout 5m -run '^TestBenchSmoke$$' -v ./cmd/trestle -smoke

.PHONY: fuzz
fuzz: ## Run every fuzz target for a while, one after the other (PKG=./... FUZZTIME=30s)
	@for package in $$(go list $(PKG)); do \
		targets=$$(go test -list '^Fuzz' "$$package" | grep '^Fuzz' || true); \
		for target in $$targets; do \
			echo "fuzz $$package $$target"; \
			go test -run "^$$target\$$" -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$package"; \
		done; \
	done

.PHONY: sim-log
sim-log: ## Hold logs against a model through random histories and crashes (SEEDS=10000 FROM=0), or replay one (SEED=n)
	@SIM_LOG_SEEDS=$(SEEDS) SIM_LOG_FROM=$(FROM) SIM_LOG_SEED=$(SEED) \
		go test -count 1 -timeout 0 -run '^TestModel$$' -v ./commitlog

.PHONY: sim
sim: ## Simulate clusters from seeds (SEEDS=10000 FROM=0), or replay one and print what happens (SEED=n)
	@go test -count 1 -timeout 0 -run '^TestCluster$$' -v ./server/internal/simulation \
		-seeds $(SEEDS) -from $(FROM) $(if $(SEED),-seed $(SEED))

.PHONY: chaos
chaos: ## Kill the server under load again and again and check that nothing acknowledged is lost (ROUNDS=50, SEED=n)
	@nice -n 10 go test -count 1 -timeout 30m -run '^TestChaos$$' -v ./server/servertest/ordeal \
		-rounds $(ROUNDS) $(if $(SEED),-seed $(SEED))

.PHONY: burst
burst: ## Publish a burst of plain messages over embedded and external NATS: none lost, at which rate, in how much memory (MESSAGES=1000000)
	@nice -n 10 go test -count 1 -timeout 30m -run '^TestBurst$$' -v ./server/servertest/ordeal -messages $(MESSAGES)

.PHONY: overload
overload: ## Publish faster than the disk for a while: bounded memory, published = stored + gaps (OVERLOAD=10s)
	@nice -n 10 go test -count 1 -timeout 30m -run '^TestOverload$$' -v ./server/servertest/ordeal -overload $(OVERLOAD)

.PHONY: disconnects
disconnects: ## Break connections and restart the broker under a Producer and a Subscription: nothing stuck, lost, doubled or out of order (DISCONNECTS=1000)
	@nice -n 10 go test -count 1 -timeout 30m -run '^TestThousandDisconnects$$' -v ./client -disconnects $(or $(DISCONNECTS),1000)

.PHONY: outages
outages: ## Take away NATS, the network or the server for a while: all that is missing is within gaps as long as that (OUTAGE=10s)
	@nice -n 10 go test -count 1 -timeout 30m -run '^TestOutages$$' -v -parallel 8 ./server/servertest/ordeal -outage $(OUTAGE)

.PHONY: readers
readers: ## 200 readers that never read and 1,000 that vanish: bounded memory, nobody else feels them, nothing of them stays
	@nice -n 10 go test -count 1 -timeout 30m -run '^TestReaders$$' -v ./server/servertest/ordeal -deaf 200 -vanish 1000

.PHONY: idle
idle: ## Create 1,000 streams of 5 partitions (STREAMS=): what they cost idle, durable acks at 10 messages/s each (ACKS=10s), restarts
	@nice -n 10 go test -count 1 -timeout 30m -run '^TestManyPartitions$$' -v ./server/servertest/ordeal -streams $(STREAMS) -idle 40s -acks $(ACKS)

.PHONY: mutants
mutants: ## Make each deliberate fault and see that something notices (ONLY=regexp, SEEDS=clusters for each)
	@$(if $(filter command line,$(origin SEEDS)),SEEDS=$(SEEDS)) ONLY='$(ONLY)' .ci/mutants

.PHONY: tools
tools: $(TOOLS) ## Build the pinned tools into .bin

# For this machine, whatever the command line builds for.
$(TOOLS): $(BIN)/%: .tools/go.mod .tools/go.sum
	@echo "building $*"; \
	mkdir -p $(BIN); \
	unset GOOS GOARCH; export GOWORK=off CGO_ENABLED=0; \
	go -C .tools build -o $@ "$$(go -C .tools list tool | grep '/$*$$')"; \
	touch $@

.PHONY: ci
ci: ## Run exactly what CI runs
	@.ci/run

.PHONY: clean
clean: ## Remove what was built here
	rm -rf $(BIN)
