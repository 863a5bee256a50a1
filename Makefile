# The names that Maestro's developers know, as aliases. What does the work is cargo and `cargo xtask`.

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list
	@grep -E '^[a-z0-9/-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /: /'

.PHONY: setup
setup: ## Install what the tests need beside the Rust toolchain
	cargo xtask setup

.PHONY: generate
generate: ## Generate code: nothing to do by hand
	@echo "nothing to generate by hand: cargo builds what is generated"

.PHONY: build
build: ## Build the release binary
	cargo build --release

# With Docker by docker-compose.yml, without it the same processes from installed programs.
COMPOSE := $(shell docker info >/dev/null 2>&1 && echo docker compose)

.PHONY: deps/up
deps/up: ## Start the services of the local stack: Postgres and Redis
	$(if $(COMPOSE),$(COMPOSE) up --detach --wait postgres redis,cargo xtask stack up)

.PHONY: deps/down
deps/down: ## Stop these services; their data stays
	$(if $(COMPOSE),$(COMPOSE) down,cargo xtask stack down)

.PHONY: migrate
migrate: ## Migrate the database of the local stack
	$(if $(COMPOSE),$(COMPOSE) run --build --rm migrate,cargo xtask stack migrate)

.PHONY: run/unit-tests
run/unit-tests: ## Tests beside the code
	cargo test --workspace --lib --bins

.PHONY: run/integration-tests
run/integration-tests: ## Tests of each crate through its public side
	cargo test --workspace --exclude maestro --tests

.PHONY: run/e2e-tests
run/e2e-tests: ## Tests on the built binary
	cargo test --package maestro --tests

.PHONY: run/all-tests
run/all-tests: ## All tests, with what they need installed or started first
	cargo xtask test

.PHONY: lint
lint: ## Format, lints, forbidden dependencies
	cargo xtask lint

.PHONY: format
format: ## Format the code
	cargo fmt --all

.PHONY: maestro/start
maestro/start: ## Start the local stack: the services, all modules, and a demo fleet
	$(if $(COMPOSE),$(COMPOSE) up --build,cargo xtask stack)

.PHONY: maestro/demo
maestro/demo: ## Show a fleet of sample rooms at work
	cargo run --release -- demo

# One module of the orchestrator, as in `make run/worker`.
.PHONY: run/management-api run/rooms-api run/worker run/runtime-watcher run/metrics-reporter
run/management-api run/rooms-api run/worker run/runtime-watcher run/metrics-reporter: run/%:
	cargo run --release -- start $*
