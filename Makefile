# causeway: what people and CI run. `make` alone lists the targets.
GO      ?= go
BIN     := bin/causeway
LDFLAGS := -s -w
FUZZTIME ?= 10s
# The race detector needs a C compiler; without one the tests run all the same, and say so.
RACE := $(shell command -v $$($(GO) env CC) >/dev/null 2>&1 && echo -race)

.PHONY: help build dev test check fuzz bench soak cover cross clean

help:
	@echo "make build   static binary for this machine, in bin/"
	@echo "make dev     build, then run a core and two edges on loopback"
	@echo "make test    all tests, with the race detector"
	@echo "make check   what CI runs on a commit: format, vet, staticcheck, tests, short fuzzing"
	@echo "make bench   the numbers of docs/OPERATIONS.md, each beside its raw reference"
	@echo "make soak    kill -9 edges and core nodes under load until stopped"
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

soak:
	$(GO) test -tags soak -timeout 0 -run '^TestSoak' -v ./internal/e2e

cover:
	$(GO) test -coverprofile=/tmp/causeway-cover.out ./... && $(GO) tool cover -html=/tmp/causeway-cover.out

cross:
	CGO_ENABLED=0 GOOS=linux GOARCH=amd64 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/causeway-linux-amd64 ./cmd/causeway
	CGO_ENABLED=0 GOOS=linux GOARCH=arm64 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/causeway-linux-arm64 ./cmd/causeway
	CGO_ENABLED=0 GOOS=darwin GOARCH=arm64 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o /dev/null ./cmd/causeway

clean:
	rm -rf bin
