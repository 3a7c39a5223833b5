#!/bin/sh
# Builds from source the images that the stack and its tests otherwise pull, for
# places without an image registry: `make images`. The tags say -source, so that
# nobody takes them for the official ones. An image that is there is kept
# (FORCE=1 builds it again). The names go to .tools/images.env, which
# `make integration` reads.
#
# Needs Go, a Docker engine, the Go module proxy and, for wget and a shell in two
# of the images, a busybox that is static: the machine's own, or Debian's or
# Ubuntu's busybox-static, which is downloaded and not installed.
set -eu
cd "$(dirname "$0")/../.."

NATS_VERSION=2.15.2
PROMETHEUS_VERSION=3.16.0
JAEGER_VERSION=1.76.0 # the newest in the module proxy: Jaeger v2.13, its API without its pages
SING_BOX_VERSION=1.14.1
GO_VERSION=$(go env GOVERSION | sed 's/^go//')

nats=local/nats-server:$NATS_VERSION-source
prometheus=local/prometheus:$PROMETHEUS_VERSION-source
jaeger=local/jaeger:$JAEGER_VERSION-source
golang=local/go:$GO_VERSION-source
proxy=local/sing-box:$SING_BOX_VERSION-source

export CGO_ENABLED=0 GOOS=linux
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# wanted TAG says whether an image has to be built.
wanted() {
  if [ -z "${FORCE:-}" ] && docker image inspect "$1" >/dev/null 2>&1; then
    echo "have   $1"
    return 1
  fi
  echo "build  $1"
  rm -rf "$work/root"
  mkdir -p "$work/root/tmp"
  chmod 1777 "$work/root/tmp"
}

# program MODULE@VERSION PACKAGES [FLAG...] builds programs into the image's
# /usr/local/bin. It builds in a copy of the module, because `go install` refuses
# modules with replace directives, as Jaeger is.
program() {
  module=$1 packages=$2
  shift 2
  dir=$(cd "$work" && go mod download -json "$module" | sed -n 's/^[[:space:]]*"Dir": "\(.*\)",*$/\1/p')
  cp -R "$dir" "$work/source"
  chmod -R u+w "$work/source"
  mkdir -p "$work/root/usr/local/bin"
  (cd "$work/source" && GOWORK=off go build -ldflags "-s -w" "$@" -o "$work/root/usr/local/bin/" $packages)
  rm -rf "$work/source"
}

# tools LINK... gives the image a static busybox under these names.
tools() {
  if [ ! -x "$work/busybox" ]; then
    own=$(command -v busybox || true)
    if [ -n "$own" ] && ! ldd "$own" >/dev/null 2>&1; then
      cp "$own" "$work/busybox"
    else
      debian_busybox
    fi
  fi
  mkdir -p "$work/root/bin"
  cp "$work/busybox" "$work/root/bin/busybox"
  for link in "$@"; do ln -s busybox "$work/root/bin/$link"; done
}

debian_busybox() {
  mkdir "$work/deb"
  chmod 755 "$work" "$work/deb"
  (cd "$work/deb" && { apt-get -qq download busybox-static || { as_root apt-get -qq update && apt-get -qq download busybox-static; }; }) 2>"$work/apt.log" || {
    cat "$work/apt.log" >&2
    echo "no static busybox: install one (Debian: busybox-static) and run this again" >&2
    exit 1
  }
  dpkg-deb --extract "$work"/deb/busybox-static_*.deb "$work/deb/root"
  find "$work/deb/root" -path '*/bin/busybox' -exec cp {} "$work/busybox" \;
}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

# image TAG INSTRUCTION... makes an image of what is in $work/root.
image() {
  tag=$1
  shift
  for instruction in "$@"; do
    shift
    set -- "$@" -c "$instruction"
  done
  tar -C "$work/root" --owner=0 --group=0 --numeric-owner -cf - . | docker import "$@" - "$tag" >/dev/null
}

if wanted "$nats"; then
  program "github.com/nats-io/nats-server/v2@v$NATS_VERSION" .
  tools sh wget
  image "$nats" 'ENV PATH=/usr/local/bin:/bin' 'EXPOSE 4222 6222 8222' 'ENTRYPOINT ["/usr/local/bin/nats-server"]'
fi

if wanted "$golang"; then
  mkdir -p "$work/root/usr/local/go" "$work/root/etc/ssl/certs" "$work/root/root"
  goroot=$(go env GOROOT)
  for part in bin lib pkg src go.env VERSION; do cp -RL "$goroot/$part" "$work/root/usr/local/go/"; done
  cp -L "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" "$work/root/etc/ssl/certs/ca-certificates.crt"
  tools
  for link in $("$work/busybox" --list); do [ "$link" = busybox ] || ln -s busybox "$work/root/bin/$link"; done
  image "$golang" 'ENV PATH=/usr/local/go/bin:/bin' 'ENV GOTOOLCHAIN=local' 'ENV HOME=/root' 'CMD ["sh"]'
fi

if wanted "$proxy"; then # with_quic: it also speaks Hysteria 2, for a test against the real protocol
  program "github.com/sagernet/sing-box@v$SING_BOX_VERSION" ./cmd/sing-box -tags with_quic
  image "$proxy" 'ENV PATH=/usr/local/bin' 'ENTRYPOINT ["/usr/local/bin/sing-box"]'
fi

if wanted "$jaeger"; then # without --config it is an all-in-one in memory; the variable opens it to other containers
  program "github.com/jaegertracing/jaeger@v$JAEGER_VERSION" ./cmd/jaeger
  image "$jaeger" 'ENV PATH=/usr/local/bin' 'ENV JAEGER_LISTEN_HOST=0.0.0.0' 'EXPOSE 4317 4318 13133 16685 16686' 'USER 10001' 'ENTRYPOINT ["/usr/local/bin/jaeger"]'
fi

# Prometheus numbers its Go module 0.XYY for release X.Y. Its pages are not in the
# module, its API is. Of the ways to find targets it has files, HTTP and DNS.
if wanted "$prometheus"; then
  program "github.com/prometheus/prometheus@v0.$(echo "$PROMETHEUS_VERSION" | awk -F. '{printf "%d%02d.%d", $1, $2, $3}')" "./cmd/prometheus ./cmd/promtool" -tags remove_all_sd,enable_dns_sd
  mkdir -p "$work/root/prometheus"
  chmod 1777 "$work/root/prometheus"
  tools sh wget
  image "$prometheus" 'ENV PATH=/usr/local/bin:/bin' 'WORKDIR /prometheus' 'EXPOSE 9090' 'USER 65534' 'ENTRYPOINT ["/usr/local/bin/prometheus"]' \
    'CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]'
fi

mkdir -p .tools
cat >.tools/images.env <<END
NATS_IMAGE=$nats
JAEGER_IMAGE=$jaeger
GO_IMAGE=$golang
PROXY_IMAGE=$proxy
PROMETHEUS_IMAGE=$prometheus
END
echo "wrote  .tools/images.env"
