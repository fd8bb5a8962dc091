#!/bin/sh
# Makes dagster.yaml of the instance and of the launcher that DAGSTER_RUN_LAUNCHER names, and the URL of Dagster's state
# where a platform gives its parts.
set -eu
here=$(dirname "$0")
launcher=${DAGSTER_RUN_LAUNCHER:-here}
if [ ! -f "$here/launchers/$launcher.yaml" ]; then
    echo "DAGSTER_RUN_LAUNCHER is $launcher; there are: $(ls "$here/launchers" | sed 's/\.yaml//' | tr '\n' ' ')" >&2
    exit 2
fi
# Another is mounted there by a platform that makes the instance itself, such as Dagster's chart for Kubernetes.
made="$DAGSTER_HOME/dagster.yaml"
if [ ! -e "$made" ] || [ "$(head -n 1 "$made")" = "$(head -n 1 "$here/dagster.yaml")" ]; then
    cat "$here/dagster.yaml" "$here/launchers/$launcher.yaml" > "$made"
    cp "$here/workspace.yaml" "$DAGSTER_HOME/"
fi
if [ -z "${DAGSTER_POSTGRES_URL:-}" ] && [ -n "${DATABASE_HOST:-}" ]; then
    at="$DATABASE_USER:$DATABASE_PASSWORD@$DATABASE_HOST:$DATABASE_PORT/$DATABASE_NAME"
    export DAGSTER_POSTGRES_URL="postgresql+psycopg2://$at?sslmode=require"
fi
exec "$@"
