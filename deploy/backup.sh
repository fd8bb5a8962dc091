#!/bin/sh
# Backs a PostgreSQL server up, all its databases together, and restores it to a moment:
#   backup.sh archive FOLDER PATH NAME          # archive_command = 'backup.sh archive FOLDER %p %f'
#   backup.sh take FOLDER                       # weekly, say; PGHOST, PGUSER and PGPASSWORD say of which server
#   backup.sh restore FOLDER DATA MOMENT        # MOMENT as 2026-02-12T08:00:00Z; DATA must not be there
# docs/runbooks/restore.md says when.
set -eu
command=${1:?archive, take or restore}
folder=$(realpath "${2:?the folder of backups}")
case $command in
archive)
    # What is there already must be the same: two servers may not archive to one folder.
    if [ -e "$folder/wal/$4" ]; then
        exec cmp --quiet "$3" "$folder/wal/$4"
    fi
    mkdir -p "$folder/wal"
    cp "$3" "$folder/wal/.$4.incoming"
    sync "$folder/wal/.$4.incoming"
    mv "$folder/wal/.$4.incoming" "$folder/wal/$4"
    ;;
take)
    mkdir -p "$folder/base"
    rm -rf "$folder/base/.incoming"
    # It waits until the WAL that it needs is in the archive.
    pg_basebackup --pgdata "$folder/base/.incoming" --wal-method none --checkpoint fast
    # A backup can be brought to any moment after it ended.
    ended=$(date --utc +%Y%m%dT%H%M%SZ)
    mv "$folder/base/.incoming" "$folder/base/$ended"
    echo "$folder/base/$ended"
    ;;
restore)
    data=${3:?the directory of the new server}
    moment=${4:?a moment, as 2026-02-12T08:00:00Z}
    wanted=$(date --utc --date "$moment" +%Y%m%dT%H%M%SZ)
    base=$(ls "$folder/base" | awk -v wanted="$wanted" '$0 < wanted' | tail -n 1)
    if [ -z "$base" ]; then
        echo "no backup in $folder/base ended before $moment; there are: $(ls "$folder/base" | tr '\n' ' ')" >&2
        exit 2
    fi
    if [ -e "$data" ]; then
        echo "$data is there: move it away first" >&2
        exit 2
    fi
    cp --recursive --preserve "$folder/base/$base" "$data"
    chmod 700 "$data"
    cat >> "$data/postgresql.auto.conf" <<END
restore_command = 'cp "$folder/wal/%f" "%p"'
recovery_target_time = '$(date --utc --date "$moment" "+%Y-%m-%d %H:%M:%S+00")'
recovery_target_action = 'promote'
END
    touch "$data/recovery.signal"
    echo "$data begins with $base and, once it is started, goes on to $moment"
    ;;
*)
    echo "archive, take or restore, not $command" >&2
    exit 2
    ;;
esac
