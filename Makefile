# Every CI job is a target here. `make help` lists them.
PREFIX  ?= /usr/local
DESTDIR ?=
GO      ?= go

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
TAGS    := urfave_cli_no_docs,containers_image_openpgp,exclude_graphdriver_btrfs,netgo,osusergo
LDFLAGS := -s -w -X main.version=$(VERSION)
STATIC  := -tags $(TAGS) -trimpath -ldflags '$(LDFLAGS) -extldflags "-static"'
INIT    := libpod/initbin/proa-init
SHARE   := $(abspath $(DESTDIR)$(PREFIX)/share)
GOTEST  := CGO_ENABLED=1 $(GO) test -tags $(TAGS)
FUZZN   ?= 3000x
VMTESTS ?= ^Test(Doctor|Limit|Session)

.PHONY: all help build install uninstall quickstart test test-setup test-unit test-e2e test-vm test-chaos bench lint fmt fuzz docs docs-check clean FORCE
all: build

help: ## list the targets
	@grep -hE '^[a-z][a-z0-9-]*:.*## ' $(MAKEFILE_LIST) | sort | sed -E 's/:.*## /\t/' | expand -t 14

build: bin/proa bin/proa-image bin/proa-build bin/proa-netd bin/proa-runtime ## build bin/proa and the programs that it starts

# Go decides what is up to date; these rules always ask it.
$(INIT): FORCE
	@mkdir -p bin
	CGO_ENABLED=0 $(GO) build -tags netgo,osusergo -trimpath -ldflags '$(LDFLAGS)' -o bin/proa-init ./cmd/proa-init
	@cmp -s bin/proa-init $@ || { cp bin/proa-init $@; sha256sum < $@ | cut -c1-16 > $@.id; }

bin/proa: $(INIT) FORCE
	CGO_ENABLED=1 $(GO) build $(STATIC) -o $@ ./cmd/proa

bin/proa-image: $(INIT) FORCE
	CGO_ENABLED=1 $(GO) build $(STATIC) -o $@ ./cmd/proa-image

bin/proa-build: $(INIT) FORCE
	CGO_ENABLED=1 $(GO) build $(STATIC) -o $@ ./cmd/proa-build

bin/proa-netd: FORCE
	CGO_ENABLED=0 $(GO) build -tags netgo,osusergo -trimpath -ldflags '$(LDFLAGS)' -o $@ ./cmd/proa-netd

bin/proa-runtime: $(INIT) FORCE
	CGO_ENABLED=1 $(GO) build $(STATIC) -o $@ ./cmd/proa-runtime

install: bin/share ## install to $(DESTDIR)$(PREFIX)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/libexec/proa
	install -m 0755 bin/proa $(DESTDIR)$(PREFIX)/bin/proa
	install -m 0755 bin/proa-runtime $(DESTDIR)$(PREFIX)/bin/proa-runtime
	install -m 0755 bin/proa-image bin/proa-build bin/proa-netd $(DESTDIR)$(PREFIX)/libexec/proa/
	cd bin/share && find . -type f -exec install -D -m 0644 {} $(SHARE)/{} \;
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/user
	sed 's,@BINDIR@,$(PREFIX)/bin,' hack/proa-boot.service.in > $(DESTDIR)$(PREFIX)/lib/systemd/user/proa-boot.service

uninstall: ## remove what install put there
	rm -f $(DESTDIR)$(PREFIX)/bin/proa $(DESTDIR)$(PREFIX)/bin/proa-runtime
	rm -rf $(DESTDIR)$(PREFIX)/libexec/proa
	rm -f $(DESTDIR)$(PREFIX)/lib/systemd/user/proa-boot.service
	rm -f $(SHARE)/man/man1/proa.1 $(SHARE)/man/man1/proa-*.1 $(SHARE)/bash-completion/completions/proa \
	  $(SHARE)/zsh/site-functions/_proa $(SHARE)/fish/vendor_completions.d/proa.fish

quickstart: ## install what is needed, build, install, and run a container as an ordinary user
	GO="$(GO)" hack/quickstart.sh

test: test-setup lint docs-check test-unit fuzz test-e2e ## set up, then lint and run every test

test-setup: ## install the packages that building and testing need
	hack/setup.sh --tests

test-unit: $(INIT) ## run the tests beside the code
	$(GOTEST) $$($(GO) list -tags $(TAGS) ./... | grep -v '/tests')

test-e2e: build ## run the end-to-end tests against bin/
	$(GOTEST) -count=1 -timeout 30m ./tests/...

test-vm: build ## run what needs systemd and cgroup v2 in a virtual machine (root, debootstrap, qemu)
	GO="$(GO)" hack/vm.sh --test '$(VMTESTS)'

test-chaos: build ## torture the engine for ROUNDS=n rounds of 40 commands; SEED=n does what that seed did
	ROUNDS=$${ROUNDS:-150} $(GOTEST) -count=1 -timeout 2h -v -run '^TestChaos$$' ./tests

bench: build ## measure beside podman, crun, skopeo and docker; prints a table, writes bench.json
	hack/bench.sh

lint: $(INIT) ## gofmt, go vet, and golangci-lint where it is installed
	@bad=$$(gofmt -l $$(git ls-files '*.go' 2>/dev/null || find . -name '*.go')); \
	  test -z "$$bad" || { echo "not gofmt'd; run 'make fmt':"; echo "$$bad"; exit 1; }
	CGO_ENABLED=1 $(GO) vet -tags $(TAGS) ./...
	@if command -v golangci-lint >/dev/null; then golangci-lint run --build-tags $(TAGS); \
	  else echo "golangci-lint is not installed: only gofmt and go vet were run"; fi

fmt: ## format the source
	gofmt -w $$(git ls-files '*.go')

fuzz: $(INIT) ## run every fuzz target $(FUZZN) times
	@GO="$(GO)" hack/fuzz.sh $(TAGS) $(FUZZN)

docs: bin/share ## make docs/reference.md, manual pages and completions from the command tree
	$(GO) run ./hack/docs -bin bin -reference docs/reference.md

bin/share: build
	rm -rf bin/share
	$(GO) run ./hack/docs -bin bin -man bin/share/man/man1 -completions bin/share

docs-check: build ## compare docs/reference.md with the command tree
	@$(GO) run ./hack/docs -bin bin -reference bin/reference.md
	@diff -u docs/reference.md bin/reference.md || { echo "docs/reference.md is not what the commands say; run 'make docs'"; exit 1; }

clean: ## remove what was built
	rm -rf bin bench.json $(INIT)

FORCE:
