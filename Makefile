# One entry for people and CI. A target is one line here; what it does is in deploy/local (the program weir-local).

# Where rustup puts cargo, for a shell that has not been told yet.
export PATH := $(PATH):$(HOME)/.cargo/bin
CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)/debug
LOCAL := $(TARGET)/weir-local
COMPOSE := docker compose -f deploy/compose.yaml
ACCOUNT ?= demo
SCOPE ?= events:write events:read metrics:read

.DEFAULT_GOAL := help
.PHONY: help up down status health ready token test-event test-metrics load-test k6 \
        test bench chaos peers test-clients lint contract fmt clean docker-up docker-down bootstrap build

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F'\t' '{ printf "  make %-14s %s\n", $$1, $$2 }'

up: build ## install what is missing, start everything, send one event
	@$(LOCAL) up

down: ## stop what `make up` started; data stay in .weir
	@if test -x $(LOCAL); then $(LOCAL) down; else echo "nothing runs here"; fi

status: $(LOCAL) ## show what runs
	@$(LOCAL) status

health: $(LOCAL) ## does the service live?
	@$(LOCAL) health

ready: $(LOCAL) ## can it take events?
	@$(LOCAL) ready

token: $(LOCAL) $(TARGET)/weir ## print a token: make -s token ACCOUNT=acme SCOPE="events:write events:read" [ROLE=operator]
	@$(LOCAL) token --account '$(ACCOUNT)' --scope '$(SCOPE)' $(if $(ROLE),--role '$(ROLE)')

test-event: $(LOCAL) ## send one event
	@$(LOCAL) test-event

test-metrics: $(LOCAL) ## count the demo account's signups of the last hour, by channel
	@$(LOCAL) test-metrics

load-test: $(LOCAL) ## ramp up the load and write loadtest/results.json (needs `make up`)
	@test -f .weir/env || { echo "run make up first" >&2; exit 1; }
	@. ./.weir/env && $(CARGO) run -q -p loadtest -- load-test

k6: $(LOCAL) ## the same ramp by k6, built from its Go module at first use; writes loadtest/results.json (needs `make up`)
	@sh loadtest/k6/run.sh

bench: bootstrap ## every figure beside its ceiling, on private engines; writes loadtest/results/ratios.json (release build)
	@$(CARGO) build --release --workspace --bins
	@$(TARGET:debug=release)/loadtest ratios --json loadtest/results/ratios.json

chaos: bootstrap ## break everything under load, row by row; writes loadtest/results/chaos.json [OLDER=an older weir] (release build)
	@sh loadtest/chaos/install.sh
	@$(CARGO) build --release --workspace --bins
	@$(TARGET:debug=release)/loadtest chaos --json loadtest/results/chaos.json $(if $(OLDER),--older '$(OLDER)') run all

peers: bootstrap ## Weir beside Gin, FastAPI and Nest doing the same; writes loadtest/results/peers.json (needs Go, Python, Node; release build)
	@sh loadtest/peers/install.sh
	@$(CARGO) build --release --workspace --bins
	@$(TARGET:debug=release)/loadtest ratios --only peers --json loadtest/results/peers.json

test-clients: build ## read live streams by curl, Chromium and Node across restarts; writes loadtest/results/clients.json
	@sh loadtest/clients/install.sh
	@$(CARGO) run -q -p loadtest -- clients

test: build ## run the whole suite with engines of its own
	@$(LOCAL) install
	$(CARGO) test --workspace

lint: bootstrap ## what CI checks besides the tests
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

contract: ## try the OpenAPI document against the running service (needs `make up`)
	@sh deploy/contract/run.sh

fmt: ## format the code
	$(CARGO) fmt --all

clean: ## remove data and build output
	@if test -d .weir; then $(MAKE) -s $(LOCAL) && $(LOCAL) down --data; fi
	$(CARGO) clean

docker-up: ## the same in containers
	$(COMPOSE) up --build --detach --wait

docker-down: ## stop the containers and drop their data
	$(COMPOSE) down --volumes

bootstrap:
	@sh deploy/local/bootstrap.sh

# The whole workspace, here and below: another choice of packages is another choice of features and a second cold build.
build: bootstrap
	@$(CARGO) build --workspace --bins

# Built when absent only, and silently: `make -s token` prints a token and nothing else.
$(LOCAL) $(TARGET)/weir:
	@sh deploy/local/bootstrap.sh >&2
	@$(CARGO) build -q --workspace --bins >&2
