# make            build/netcombiner
# make demo       the main job on real traffic, in under three minutes
# make test       the proof
# The other targets are listed by: make help

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
# A version that is not git's.
GIVEN   := $(if $(filter command environment,$(firstword $(origin VERSION))),$(VERSION))
LDFLAGS := -s -w -X main.version=$(VERSION)
BUILD   := CGO_ENABLED=0 go build -trimpath -ldflags "$(LDFLAGS)"
TOOLS   := $(CURDIR)/build/tools
# Modules of their own, whose requirements are none of the daemon's: what draws, what
# speaks HTTP to Prometheus, what knows the schemas of Kubernetes, and what packs for
# OpenWrt and for FreeBSD.
PLOT     := src/testbed/plot
EXPORTER := src/exporter
CLUSTER  := packaging/kubernetes
OPENWRT  := packaging/openwrt
FREEBSD  := packaging/freebsd
# in-each runs a command in every module.
in-each = for module in . $(PLOT) $(EXPORTER) $(CLUSTER) $(OPENWRT) $(FREEBSD); do (cd $$module && $(1)) || exit; done

# What the namespaces and the measurements need.
LAB := ip:iproute2 tc:iproute2 nft:nftables iperf3 ping:iputils-ping tcpdump

GOLANGCI    := v2.15.0
NFPM        := v2.43.4
# What draws LuCI's pages in a browser, and judges their style.
NPM         := build/npm/node_modules
LUCI        := openwrt/test/luci

.PHONY: all
all: ## the daemon, build/netcombiner, and the exporter for Prometheus, build/netcombiner-exporter
	$(BUILD) -o build/netcombiner ./src/cmd/netcombiner
	CGO_ENABLED=0 go build -C $(EXPORTER) -trimpath -ldflags "$(LDFLAGS)" -o $(CURDIR)/build/netcombiner-exporter .

.PHONY: testbed
testbed: all
	$(BUILD) -o build/testbed ./src/cmd/testbed

.PHONY: demo
demo: testbed ## show what it does, on real traffic
	ci/need $(LAB)
	build/testbed demo

.PHONY: evaluate
evaluate: testbed plot ## measure, and make build/evaluation/index.html; ONLY=4.6,profiles:loss_2 chooses, KEEP=1 keeps the rest, RUNS=3, FOR=10s, DIRECTIONS=down, TRANSPORTS=udp, SCALE=0.5, INNER=bbr, COUNT=100 homes of many
	ci/need $(LAB)
	build/testbed evaluate -only "$(ONLY)" -runs $(or $(RUNS),3) -for $(or $(FOR),10s) -directions "$(DIRECTIONS)" -transports "$(TRANSPORTS)" -scale $(or $(SCALE),1) -inner "$(INNER)" -count $(or $(COUNT),0) $(if $(KEEP),-keep); \
	measured=$$?; build/plot && exit $$measured

.PHONY: bench
bench: testbed ## measure speed, beside wireguard-go, into build/bench: ONLY=udp-auto,flow chooses, RUNS=1, FOR=3s, COUNT=5 of each microbenchmark; PROFILE=1 leaves local.pprof and remote.pprof
	ci/need $(LAB) wireguard-go wg:wireguard-tools
	ci/bench "$(ONLY)$(PROFILE)" $(or $(COUNT),5)
	GOARCH=arm64 $(BUILD) -o build/bench/netcombiner-linux-arm64 ./src/cmd/netcombiner
	CGO_ENABLED=0 go build -o build/bench/wireguard-go golang.zx2c4.com/wireguard
	$(if $(PROFILE),$(BUILD) -tags profile -o build/bench/netcombiner ./src/cmd/netcombiner)
	build/testbed bench -only "$(ONLY)" -runs $(or $(RUNS),1) -for $(or $(FOR),3s) \
		-binary build/bench/netcombiner-linux-arm64 -wireguard build/bench/wireguard-go $(if $(PROFILE),-program build/bench/netcombiner -profile)

.PHONY: plot
plot: ## build/plot, which makes the page of build/evaluation/results.json
	go build -C $(PLOT) -trimpath -o $(CURDIR)/build/plot .

.PHONY: test
# A test that does not find a tool fails.
test: export CI := 1
test: testbed $(NPM) ## prove it: unit tests, virtual time, and the real kernel where root
	ci/need $(LAB) gcc promtool:prometheus mandoc zsh fish systemd-analyze:systemd chromium node:nodejs msgfmt:gettext \
		busybox zopfli signify-openbsd openssl qemu-aarch64-static:qemu-user-static bmake zstd mksh php:php-cli xmllint:libxml2-utils
	python3 -c 'import jinja2' 2>/dev/null || ci/need jinja2:python3-jinja2 # a module, not a command
	php -r 'exit(+!class_exists("SimpleXMLElement"));' || ci/need simplexml:php-xml # likewise
	$(call in-each,go vet ./...)
	$(call in-each,go test -p 1 -timeout 20m ./...)
	@# What FreeBSD has of its own: the tests, too, build and link.
	for processor in amd64 arm64; do \
		export CGO_ENABLED=0 GOOS=freebsd GOARCH=$$processor; \
		go vet ./... && go test -c -o /dev/null ./... || exit; \
	done
	@# Without what measures, what calculates for minutes in a single goroutine, and
	@# what runs shells, PHP and browsers.
	go test -p 1 -race -short -timeout 20m $$(go list ./... | grep -v -e /testbed -e /congestion -e /openwrt/ -e /freebsd/)
	timeout 300 node --test $(LUCI)/*.test.mjs freebsd/opnsense/test/*.test.mjs freebsd/pfsense/test/*.test.mjs

.PHONY: soak
soak: ## random faults in virtual time: SEEDS=10000, FIRST=1
	go test ./src/portal -run TestRandomFaults -timeout 0 -v -seeds $(or $(SEEDS),10000) -first-seed $(or $(FIRST),1) 2>&1 | grep -v level=

.PHONY: fuzz
fuzz: ## every fuzz target, 30 s each; TIME=…
	ci/fuzz $(or $(TIME),30s)

.PHONY: lint
lint: $(TOOLS)/golangci-lint $(NPM) ## gofmt, vet, golangci-lint (with staticcheck), shellcheck, eslint
	ci/need shellcheck
	@test -z "$$(gofmt -l src init packaging openwrt freebsd)" || { echo "gofmt would change:"; gofmt -l src init packaging openwrt freebsd; exit 1; }
	$(call in-each,go vet ./...)
	$(call in-each,$(TOOLS)/golangci-lint run ./...)
	shellcheck ci/need ci/fuzz ci/cross ci/emulate ci/bench ci/package ci/freebsd-port .ci/run init/netcombiner.openrc init/netcombiner.sysv \
		packaging/completion/netcombiner.bash packaging/scripts/* packaging/freebsd/sdk/reinplace
	cd packaging/test && shellcheck -x run within systemd sysv openrc installrpm
	shellcheck -s dash -e SC3043,SC1091,SC2034 init/netcombiner.freebsd freebsd/test/testdata/rc.subr
	shellcheck freebsd/port/net/*/files/pkg-*.in
	shellcheck -s dash $$(grep -rlE '^#!/bin/sh' freebsd/opnsense freebsd/pfsense)
	shellcheck -s dash -e SC3043 $$(grep -rlE '^#!/bin/sh|shellcheck shell' openwrt/netcombiner) openwrt/test/router/testdata/bin/*
	cd openwrt && ../$(NPM)/.bin/eslint -c test/luci/eslint.config.mjs luci-*/htdocs test/luci
	openwrt/test/luci/node_modules/.bin/eslint -c openwrt/test/luci/eslint.config.mjs freebsd/opnsense/test freebsd/pfsense/test

$(NPM): $(LUCI)/package-lock.json
	ci/need node:nodejs npm
	mkdir -p build/npm
	echo module npm > build/npm/go.mod # one of them has a package in Go, which is none of ours
	cp $(LUCI)/package.json $(LUCI)/package-lock.json build/npm
	npm ci --silent --ignore-scripts --prefix build/npm
	touch $@

$(TOOLS)/golangci-lint:
	GOBIN=$(TOOLS) GOFLAGS= go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI)

.PHONY: cross
cross: ## build for every platform, and test what calculates on other processors
	ci/cross "$(LDFLAGS)"
	ci/emulate

.PHONY: deb rpm
deb rpm: $(TOOLS)/nfpm ## a package into build/package: ARCH=amd64|arm64, VERSION=1.2.3
	VERSION="$(GIVEN)" ci/package $@ $(or $(ARCH),$(shell go env GOARCH))

.PHONY: ipk apk
ipk apk: ## packages for OpenWrt into build/openwrt/ipk|apk, a feed: ARCH=aarch64_generic|…|all (LuCI), VERSION=1.2.3, KEY=secret key
	ci/need zopfli
	go run -C $(OPENWRT) . -repo $(CURDIR) -arch "$(ARCH)" -version "$(GIVEN)" -key "$(abspath $(KEY))" -out $(CURDIR)/build/openwrt/$@ $@

.PHONY: freebsd-pkg
freebsd-pkg: ## packages for FreeBSD, OPNsense and pfSense into build/freebsd/ABI, a repository: ARCH=amd64|arm64, ABI=14|15, VERSION=1.2.3, KEY=RSA key
	ci/need bmake
	go run -C $(FREEBSD) . -repo $(CURDIR) -arch "$(or $(ARCH),amd64)" -abi "$(or $(ABI),14)" -version "$(GIVEN)" \
		-key "$(abspath $(KEY))" -out $(CURDIR)/build/freebsd

.PHONY: freebsd-port
freebsd-port: ## the ports for FreeBSD's ports tree, and their sources, into build/freebsd/ports: VERSION=1.2.3
	ci/freebsd-port "$(GIVEN)" build/freebsd/ports

.PHONY: package-test
package-test: $(TOOLS)/nfpm ## try the packages and service files in a real Debian, made by debootstrap once
	ci/need debootstrap lintian rpm rpmlint
	packaging/test/run

$(TOOLS)/nfpm:
	GOBIN=$(TOOLS) GOFLAGS= CGO_ENABLED=0 go install github.com/goreleaser/nfpm/v2/cmd/nfpm@$(NFPM)

.PHONY: clean
clean: ## remove build/
	rm -rf build

.PHONY: help
help:
	@sed -n 's/^\([a-z][a-z -]*\):.*## /\1\t/p' Makefile
