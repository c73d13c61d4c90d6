# causeway: what people and CI run. `make` alone lists the targets.
GO      ?= go
BIN     := bin/causeway
LDFLAGS := -s -w
FUZZTIME ?= 10s
# The race detector needs a C compiler; without one the tests run all the same, and say so.
RACE := $(shell command -v $$($(GO) env CC) >/dev/null 2>&1 && echo -race)

.PHONY: help build dev test check fuzz bench sim soak mistakes cover cross clean

help:
	@echo "make build   static binary for this machine, in bin/"
	@echo "make dev     build, then run a core and two edges on loopback"
	@echo "make test    all tests, with the race detector"
	@echo "make check   what CI runs on a commit: format, vet, staticcheck, tests, short fuzzing"
	@echo "make bench   the numbers of docs/OPERATIONS.md, each beside its raw reference"
	@echo "make sim     2,000 clusters under drawn faults, in virtual time (ARGS='--seeds 10000')"
	@echo "make soak    the simulator, clients that change nodes while links flap (10 min), then kill -9 edges and core nodes under load, and drawn faults on live clusters, until stopped"
	@echo "make mistakes  makes each seeded mistake, looks for the seeds that catch it, and writes them down (an hour)"
	@echo "make cross   binaries for linux amd64 and arm64, and a darwin compile"

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/causeway

dev: build
	./$(BIN) dev $(ARGS)

test:
	@[ -n "$(RACE)" ] || echo "no C compiler here: testing WITHOUT the race detector"
	$(GO) vet ./...
	$(GO) test $(RACE) -shuffle=on -timeout 15m ./...

check:
	@out=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "gofmt would change:"; echo "$$out"; exit 1; fi
	@out=$$($(GO) fix -diff ./... 2>&1); if [ -n "$$out" ]; then echo "go fix would change:"; echo "$$out"; exit 1; fi
	$(GO) tool staticcheck ./...
	$(MAKE) test
	$(MAKE) fuzz
	$(MAKE) cross

# Every fuzz target, one after the other; a finding fails the target and is kept in testdata/fuzz.
fuzz:
	@set -e; for pkg in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "fuzz $$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$pkg; \
	  done; done

bench:
	$(GO) run ./internal/bench $(ARGS)

SOAK ?= ./internal/e2e ./sim/live
sim: build
	./$(BIN) sim explore --seeds 2000 $(ARGS)

# Ever new seeds for ten minutes, the big scenarios, followers for ten minutes, a live run, then the kill test without end.
soak: build
	./$(BIN) sim explore --minutes 10 --seeds 0 --first-seed $$(date +%s)
	for s in thousand-edges-reconnect thousand-edges-thirty-days; do ./$(BIN) sim run $$s || exit 1; done
	$(GO) test -tags soak -timeout 0 -run '^TestSoak' -v $(SOAK)

# Remakes sim/mistakes/testdata/caught.txt and the table in docs/SIMULATION.md.
mistakes:
	$(GO) run ./sim/mistakes/hunt $(ARGS)

cover:
	$(GO) test -coverprofile=/tmp/causeway-cover.out ./... && $(GO) tool cover -html=/tmp/causeway-cover.out

cross:
	CGO_ENABLED=0 GOOS=linux GOARCH=amd64 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/causeway-linux-amd64 ./cmd/causeway
	CGO_ENABLED=0 GOOS=linux GOARCH=arm64 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/causeway-linux-arm64 ./cmd/causeway
	CGO_ENABLED=0 GOOS=darwin GOARCH=arm64 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o /dev/null ./cmd/causeway

clean:
	rm -rf bin
