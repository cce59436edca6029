#!/usr/bin/env bash
# Keeps a copy of a folder in the store, through the mount:  backup.sh FOLDER
# Only what has changed is copied; each file is a key, readable over TCP as well (GET backup/FOLDER/...).
set -euo pipefail
folder=${1:?usage: backup.sh FOLDER}
mount=${CHRONOS_MOUNT:-mnt}
mkdir -p "$mount/backup"
rsync -a --delete "${folder%/}" "$mount/backup/"
sync -f "$mount/backup"
echo "$(find "$mount/backup/$(basename "$folder")" -type f | wc -l) files are safe in $mount/backup"
