# The image of every module: `docker build -t maestro .`; `docker run maestro start worker`.

FROM rust:1.95.0-slim-bookworm AS build
WORKDIR /src

COPY . .
RUN cargo build --release --locked --package maestro && cp target/release/maestro /maestro

FROM debian:bookworm-20250407-slim
# Rooms of the process runtime run here too, with the commands that this image has.
RUN useradd --system --uid 65532 --home-dir /data --create-home maestro
COPY --from=build /maestro /usr/local/bin/maestro
USER maestro
WORKDIR /app
ENV MAESTRO_STORE_DATADIR=/data
VOLUME /data
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s CMD ["maestro", "health"]
ENTRYPOINT ["maestro"]
CMD ["start", "all"]
