#!/bin/bash
# Each rule must be able to fail: breaks one at a time, in a tree of its own.
set -u

tidy=$PWD/tools/tidy/tidy.sh
tree=$TEST_TMPDIR/tree
failed=0

# A tidy tree.
reset() {
  rm -rf "$tree"
  mkdir -p "$tree"/{cache/l2,sweeper,backup}
  touch "$tree/WORKSPACE"
  echo 'x(srcs = ["a.h", "a_test.cc", "l2/b.h"])' >"$tree/cache/BUILD"
  echo '#include "absl/status/status.h"' >"$tree/cache/a.h"
  echo '#include "cache/a.h"' >"$tree/cache/l2/b.h"
  echo 'EXPECT_EQ(1, 1);' >"$tree/cache/a_test.cc"
  echo 'x(srcs = ["s.h"])' >"$tree/sweeper/BUILD"
  echo '#include "cache/l2/b.h"' >"$tree/sweeper/s.h"
}

# expect FILE LINE MESSAGE: adding LINE to FILE is reported with MESSAGE.
expect() {
  reset
  echo "$2" >>"$tree/$1"
  local out
  if out=$("$tidy" "$tree"); then
    echo "not noticed: $1: $2"
    failed=1
  elif [[ $(wc -l <<<"$out") != 1 || $out != "$1:"*"$3"* ]]; then
    printf 'expected one "%s" for %s, got:\n%s\n' "$3" "$1" "$out"
    failed=1
  fi
}

reset
"$tidy" "$tree" || { echo "the tidy tree is not tidy"; failed=1; }

expect cache/l2/b.h '#include "sweeper/s.h"' 'cache/ must not include sweeper/'
expect cache/a.h '  #  include "tools/x.h"' 'cache/ must not include tools/'
expect sweeper/s.h '#include "backup/x.h"' 'sweeper/ must not include backup/'
expect cache/a.h '#include "b.h"' 'include from the root'
expect cache/a_test.cc 'std::this_thread::sleep_for(x);' 'sleep in a test'
expect cache/a_test.cc 'usleep(1);' 'sleep in a test'
expect cache/a_test.cc 'absl::SleepFor(x);' 'sleep in a test'
expect cache/a.h '// TO''DO: later' 'unfinished work'
expect cache/BUILD '# FIX''ME' 'unfinished work'
expect cache/c.cc 'int x;' 'named in no target'

reset
echo 'int x;' >"$tree/cache/a_test.cc"
"$tidy" "$tree" | grep -q 'a_test.cc:1: test without an assertion' ||
  { echo "a test without an assertion was not noticed"; failed=1; }

reset
mkdir "$tree/common"
echo 'x(srcs = ["c.h"])' >"$tree/common/BUILD"
echo 'int x;' >"$tree/common/c.h"
"$tidy" "$tree" | grep -q 'common/c.h:1: folder is not in the diagram' ||
  { echo "a new folder was not noticed"; failed=1; }

"$tidy" "$tree/nowhere" 2>/dev/null && { echo "no workspace, no failure"; failed=1; }
exit $failed
