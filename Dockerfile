# A small image with the program, which runs as nobody in particular.
#   docker build -t table-loader:latest .
#   docker run --rm --env-file .env -v "$PWD/tables.yaml:/work/tables.yaml:ro" table-loader:latest \
#     load --batch-id batch_20240115_143022 --force

FROM rust:1.95-slim-bookworm AS build
WORKDIR /build
COPY . .
# Without the sandbox: `loader demo` needs a PostgreSQL server, which is not in the image.
RUN cargo build --release --locked --no-default-features

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /build/target/release/loader /usr/local/bin/loader
# tables.yaml and plans are mounted here.
WORKDIR /work
USER 10001:10001
ENTRYPOINT ["loader"]
CMD ["--help"]
