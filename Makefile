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

.PHONY: deps/up
deps/up: ## Start the services that Maestro needs: none when embedded
	@echo "no services needed: the store is embedded and rooms are processes; services come with the cluster store"

.PHONY: deps/down
deps/down: ## Stop these services
	@echo "no services to stop; they come with the cluster store"

.PHONY: migrate
migrate: ## Migrate the database: none when embedded
	@echo "no database to migrate: the embedded store migrates itself at its start; this comes with the cluster store"

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
maestro/start: ## Start Maestro with everything in one process
	cargo run --release -- start all

.PHONY: maestro/demo
maestro/demo: ## Show a fleet of sample rooms at work
	cargo run --release -- demo

# One module of the orchestrator, as in `make run/worker`.
.PHONY: run/management-api run/rooms-api run/worker run/runtime-watcher run/metrics-reporter
run/management-api run/rooms-api run/worker run/runtime-watcher run/metrics-reporter: run/%:
	cargo run --release -- start $*
