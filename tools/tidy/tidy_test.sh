#!/bin/bash
# Runs tidy.sh on the workspace itself: WORKSPACE, a link here, leads there.
set -u
exec tools/tidy/tidy.sh "$(dirname "$(readlink -f WORKSPACE)")"
