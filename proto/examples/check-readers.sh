#!/usr/bin/env bash
# Proves that segment files are protobuf messages: protoc, the Node reader and Go decode them to the same values, and
# encode these again to the same bytes. Without arguments it takes the golden segments.
#
#   check-readers.sh [FILE...]
set -eu -o pipefail

lacking=0
need() {
  if ! command -v "$1" >/dev/null; then
    echo "check-readers: $1 is missing; install it, on Debian with: apt-get install $2" >&2
    lacking=1
  fi
}
need protoc protobuf-compiler
need node nodejs
need npm npm
need go golang-go
[ "$lacking" = 0 ] || exit 1

files=()
for file in "$@"; do
  [ -r "$file" ] || { echo "check-readers: cannot read $file" >&2; exit 2; }
  files+=("$(realpath "$file")")
done

cd "$(dirname "${BASH_SOURCE[0]}")/node-reader"
if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then
  npm ci
fi
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
OUT="$fresh" npm run --silent generate
if ! diff -r gen "$fresh"; then
  echo "check-readers: the Node code is not what log.proto gives; run: npm run generate, in $PWD" >&2
  exit 1
fi
npm test --silent

cd ../../..
tests='^TestReaders'
[ $# = 0 ] || tests='^TestReaders$'
go test -count=1 -v -run "$tests" ./commitlog -args -readers "${files[@]}"
