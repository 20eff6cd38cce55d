#!/usr/bin/env bash
# Build the image, then prove it: its own `demo --check`, as its own user, on a read-only root.
#
#   deploy/build-image.sh [NAME]         the image's name, `bearer-proxy` unless given
#
# Docker builds where its engine runs. Elsewhere, as root on Debian, buildah does it without one:
#
#   apt-get install buildah debootstrap
#
# and a base of Debian 13 with its Python 3.13 is made by debootstrap (once; about 40 seconds).
#
# Environment:
#   ENGINE         docker or buildah; whichever works unless given
#   BASE           base image: the Dockerfile's default for docker, the debootstrap one for buildah
#   BUILD_FLAGS    more flags for the build, split at spaces; for example, for pip's configuration:
#                  BUILD_FLAGS="--secret id=pip,src=/etc/pip.conf --network host"
#   STORAGE_DRIVER buildah's; vfs unless given, which needs nothing of the kernel
set -euo pipefail
cd "$(dirname "$0")/.."

name=${1:-bearer-proxy}
engine=${ENGINE:-$(docker info >/dev/null 2>&1 && echo docker || echo buildah)}
read -ra flags <<<"${BUILD_FLAGS:-}"
trixie=localhost/python-base:3.13-trixie

buildah() { command buildah --storage-driver "${STORAGE_DRIVER:-vfs}" "$@"; }

# The base that stands in for python:*-slim where no registry of images is within reach.
make_trixie() (
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates \
        trixie "$scratch/root" >"$scratch/log" || { tail -n 20 "$scratch/log" >&2; exit 1; }
    rm -rf "$scratch"/root/var/cache/apt/archives/*.deb "$scratch"/root/var/lib/apt/lists/*
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$scratch/root" / >/dev/null
    buildah commit --quiet --rm "$container" "$trixie" >/dev/null
)

# What `docker run --read-only` does, from the image's own metadata: environment, user, entry point.
# The command is process 1 of its namespace, as it will be in a container.
run_read_only() (
    container=$(buildah from --pull-never "$name")
    trap 'buildah rm "$container" >/dev/null' EXIT
    config() { buildah inspect --format "{{range .OCIv1.Config.$1}}{{println .}}{{end}}" "$container"; }
    mapfile -t environment < <(config Env | sed '/^$/d')
    mapfile -t entry < <(config Entrypoint | sed '/^$/d')
    user=$(buildah inspect --format '{{.OCIv1.Config.User}}' "$container")
    # shellcheck disable=SC2016  # the single-quoted lines are for the inner shell
    unshare --mount --pid --fork sh -euc '
        root=$1 user=$2; shift 2
        mount --bind "$root" "$root"
        mount -o remount,bind,ro "$root"
        mount -t proc proc "$root/proc"
        mount --rbind /dev "$root/dev"
        exec chroot --userspec="$user" "$root" env -i "$@"
    ' sh "$(buildah mount "$container")" "$user" "${environment[@]}" "${entry[@]}" "$@"
)

case $engine in
docker)
    docker build ${BASE:+--build-arg "BASE=$BASE"} "${flags[@]}" --tag "$name" .
    docker run --rm --read-only --network none "$name" demo --check
    docker image inspect --format "$name: {{.Size}} bytes" "$name"
    ;;
buildah)
    if [ -z "${BASE:-}" ] && ! buildah inspect --type image "$trixie" >/dev/null 2>&1; then
        make_trixie
    fi
    # Docker's image format: OCI's has no HEALTHCHECK.
    buildah build --format docker --isolation chroot --build-arg "BASE=${BASE:-$trixie}" \
        "${flags[@]}" --tag "$name" .
    run_read_only demo --check
    buildah images --format "$name: {{.Size}}" "$name"
    ;;
*)
    echo "build-image.sh: ENGINE is docker or buildah, not $engine" >&2
    exit 2
    ;;
esac
