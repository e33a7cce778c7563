#!/bin/sh
# fuzz.sh TAGS COUNT: runs every native fuzz target of the module COUNT times (COUNT as go test's -fuzztime takes it).
set -eu
tags=$1 count=$2 go=${GO:-go}
export CGO_ENABLED=1
found=0
for file in $(grep -rlE --include='*_test.go' '^func Fuzz[A-Z]' .); do
    for name in $(sed -nE 's/^func (Fuzz[A-Za-z0-9_]+)\(.*/\1/p' "$file"); do
        found=$((found + 1))
        "$go" test -tags "$tags" -run '^$' -fuzz "^$name\$" -fuzztime "$count" -parallel 2 "$(dirname "$file")"
    done
done
echo "fuzz: $found targets, $count each"
