#!/bin/bash
# House rules that no compiler checks. `tidy.sh ROOT` prints each breach as
# "file:line: rule" and fails if there is any.
set -u

cd "$1" && [[ -f WORKSPACE ]] || { echo "not a workspace: $1" >&2; exit 2; }

# Prints the files that match the given find(1) test, NUL-terminated.
files() {
  find . -path ./.git -prune -o -type f \( "$@" \) -printf '%P\0'
}
sources() { files -name '*.cc' -o -name '*.h'; }

# Who may include whom; tests/ and bench/ may include everything.
check_arrows() {
  sources | xargs -0 -r awk '
    BEGIN {
      may["cache"] = " cache "
      may["sweeper"] = " sweeper cache "
      may["backup"] = " backup cache "
      may["replication"] = " replication backup cache "
      may["server"] = " server replication backup sweeper cache "
      may["tools"] = " tools" may["server"]
      may["tests"] = may["bench"] = " tests bench" may["tools"]
    }
    FNR == 1 {
      from = FILENAME
      sub(/\/.*/, "", from)
      if (!(from in may)) print FILENAME ":1: folder is not in the diagram of arrows"
    }
    /^[ \t]*#[ \t]*include[ \t]*"/ {
      to = $0
      sub(/^[^"]*"/, "", to)
      sub(/".*/, "", to)
      if (to !~ /\//) print FILENAME ":" FNR ": include from the root: \"" to "\""
      sub(/\/.*/, "", to)
      if ((to in may) && (from in may) && index(may[from], " " to " ") == 0)
        print FILENAME ":" FNR ": " from "/ must not include " to "/"
    }'
}

# Time is injected: a test that sleeps is slow, or wrong on a slow machine.
check_sleeps() {
  files -name '*_test.cc' |
    xargs -0 -r grep -HnE '\b(sleep_for|sleep_until|usleep|nanosleep|SleepFor)\b' |
    sed -E 's/^([^:]*:[0-9]+):.*/\1: sleep in a test; inject a clock or wait for the event/'
}

check_assertions() {
  files -name '*_test.cc' | xargs -0 -r grep -LE '\b(EXPECT|ASSERT)_' |
    sed 's/$/:1: test without an assertion/'
}

check_unfinished() {
  files ! -name LICENSE | xargs -0 -r grep -IHnwE 'TO''DO|FIX''ME' |
    sed -E 's/^([^:]*:[0-9]+):.*/\1: unfinished work belongs in an issue/'
}

# What no target names is compiled by nobody.
check_targets() {
  local file package name
  while IFS= read -r -d '' file; do
    package=$(dirname "$file")
    until [[ -f $package/BUILD || $package == . ]]; do
      package=$(dirname "$package")
    done
    name=${file#"$package"/}
    grep -qsF "\"$name\"" "$package/BUILD" ||
      echo "$file:1: named in no target of $package/BUILD"
  done < <(sources)
}

breaches=$(
  check_arrows
  check_sleeps
  check_assertions
  check_unfinished
  check_targets
)
[[ -z $breaches ]] && exit 0
sort -V <<<"$breaches"
exit 1
