#!/bin/sh
# Makes what docker-compose.yml reads from secrets/, once; a second call changes nothing.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
chmod 700 secrets
random() { head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '\n'; }
[ -s secrets/secret_key ] || { random; random; } > secrets/secret_key
[ -s secrets/encryption_keys ] || random > secrets/encryption_keys
[ -s secrets/database_password ] || random | tr -d '=_-' > secrets/database_password
[ -s secrets/database_url ] || printf 'postgres://drydock:%s@postgres:5432/drydock' "$(cat secrets/database_password)" > secrets/database_url
# A secret is mounted as the file it is, and user 10001 of the container reads it; the folder keeps others out.
chmod 644 secrets/secret_key secrets/encryption_keys secrets/database_url secrets/database_password
