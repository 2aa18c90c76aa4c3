# docker build -t portolan .
# docker run --rm -v "$PWD:/work" -e SUPPLIER_PASSWORD portolan run mirror.rhai ftpes://me@ftp.example.com copy
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo install --path . --locked --root /out

FROM debian:bookworm-slim
# The authorities that sign certificates; zones for schedules; nftables for `portolan nat`.
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates tzdata nftables \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --uid 1000 portolan \
 && install -d -o portolan -g portolan /work /var/lib/portolan
COPY --from=build /out/bin/portolan /usr/local/bin/portolan
ENV PORTOLAN_STATE=/var/lib/portolan
VOLUME /var/lib/portolan
USER portolan
WORKDIR /work
ENTRYPOINT ["portolan"]
CMD ["--help"]
