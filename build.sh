#!/bin/sh
# What Render runs to build a service on its Python runtime; anything else that builds from source may, too.
#   ./build.sh                              install, with hashes, and compile
#   ./build.sh --backup                     with pg_dump and pg_restore, for a cron that backs up
#   ./build.sh --migrate momentum           and migrate: for the free plan, which has no pre-deploy command
set -eu
cd "$(dirname "$0")"

requirements='requirements.txt'
if [ "${1:-}" = --backup ]; then
    requirements='requirements-local.txt'
    shift
fi
python -m pip install --disable-pip-version-check --no-input --require-hashes -r "$requirements"
python -m pip install --disable-pip-version-check --no-input --no-deps --no-build-isolation .
# Every start is quicker; some packages ship templates that are no Python, hence the `|| true`.
python -m compileall -q -j 0 "$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" >/dev/null 2>&1 || true

if [ "${1:-}" = --migrate ]; then
    shift
    for service in "$@"; do
        python -m tandem migrate "$service"
    done
fi
