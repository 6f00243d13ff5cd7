#!/bin/sh
# health_monitor.sh [URL…]: one check, for cron; whom it tells is in docs/operations.md.
#   */5 * * * * API_URL=https://your-api.onrender.com SLACK_WEBHOOK=https://hooks.slack.com/… /srv/tandem/scripts/health_monitor.sh
# Exit status 0: well, 1: not, 2: it is not told what to watch. What it remembers is in .tandem/monitor.json of the checkout.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
export MONITOR_STATE="${MONITOR_STATE:-$here/.tandem/monitor.json}"
for tandem in "$here/.venv/bin/tandem" tandem; do
    if command -v "$tandem" >/dev/null 2>&1; then
        exec "$tandem" monitor --once "$@"
    fi
done
echo "tandem is not installed: run \`make up\` in $here once, or pip install it" >&2
exit 2
