# A small image with the program, linked statically, which runs as nobody in particular.
#   docker build -t table-loader:latest .
#   docker run --rm --env-file .env -v "$PWD/tables.yaml:/work/tables.yaml:ro" table-loader:latest \
#     load --batch-id batch_20240115_143022 --force

# Alpine's compiler links statically, against musl.
FROM rust:1.95-alpine AS build
RUN apk add --no-cache gcc musl-dev
WORKDIR /build
COPY . .
RUN cargo build --release --locked --bin loader

# Holds a shell for CI jobs, the authorities that TLS trusts, and a /tmp for plans on their way.
FROM alpine:3.22
COPY --from=build /build/target/release/loader /usr/local/bin/loader
# tables.yaml and plans are mounted here.
WORKDIR /work
USER 10001:10001
ENTRYPOINT ["loader"]
CMD ["--help"]
