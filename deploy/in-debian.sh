#!/usr/bin/env bash
# Run a command on a copy of this project in what the image is made of: Debian 13, its Python 3.13.
#
#   deploy/in-debian.sh make test
#   deploy/in-debian.sh make bench
#
# As root, with debootstrap. What is committed is copied; what the command leaves in bench/results
# comes back. The first time takes a minute more: the system is kept for the next.
#
# Environment:
#   ROOT    the directory that it is kept in, /var/tmp/bearer-proxy-debian unless given
set -euo pipefail
cd "$(dirname "$0")/.."

root=${ROOT:-/var/tmp/bearer-proxy-debian}
packages=ca-certificates,curl,git,haproxy,make,nginx-light,procps,python3,python3-venv,wrk

if [ ! -e "$root/.made" ]; then
    debootstrap --variant=minbase --include="$packages" trixie "$root" >"$root.log" ||
        { tail -n 20 "$root.log" >&2; exit 1; }
    touch "$root/.made"
fi
cp /etc/resolv.conf "$root/etc/resolv.conf"
# The authorities that pip has been told of, for who is behind a proxy that has its own.
if [ -n "${PIP_CERT:-}" ]; then
    install -D --mode=644 "$PIP_CERT" "$root$PIP_CERT"
fi
rm -rf "$root/project"
git clone --quiet . "$root/project"

status=0
# The mounts are this command's alone, and gone with it.
# shellcheck disable=SC2016  # the single-quoted lines are for the inner shell
unshare --mount sh -euc '
    root=$1; shift
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount --rbind /sys "$root/sys"
    mount -t tmpfs tmpfs "$root/run"
    exec chroot "$root" env -C /project PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
' sh "$root" "$@" || status=$?

# A measurement that misses a target fails, and is wanted all the more; a command that measures
# nothing must not put what is committed in the place of what is here.
if ! git -C "$root/project" diff --quiet -- bench/results; then
    cp "$root"/project/bench/results/latest.* bench/results/
fi
exit "$status"
