#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs, builds everything, runs every test. The last lines are ctest's summary.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/build.sh all
exec ctest --test-dir build --output-on-failure --no-tests=error -j2 "$@"
