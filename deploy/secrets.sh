#!/bin/sh
# Makes the secrets of NATS for docker-compose.yml in DIR (deploy/secrets):
# random passwords of the three users and the key that encrypts JetStream's
# files. What exists is kept. Keep a copy of nats_secrets in a safe place: without
# JETSTREAM_KEY the streams cannot be read again.
#
#   sh deploy/secrets.sh [DIR]
set -eu
dir=${1:-$(dirname "$0")/secrets}

if [ ! -d "$dir" ]; then
  mkdir -p "$dir"
  chmod 700 "$dir" # nobody else on the host gets in; see the note at `secrets` in docker-compose.yml
fi
umask 022 # the containers' user has to read the files

random() {
  text=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
  if [ ${#text} -ne 48 ]; then
    echo "secrets.sh: od and /dev/urandom gave no random number; nothing was written" >&2
    exit 1
  fi
  echo "$text"
}

if [ -e "$dir/nats_secrets" ]; then
  echo "kept   $dir/nats_secrets"
else
  admin=$(random)
  worker=$(random)
  backend=$(random)
  key=$(random)
  cat >"$dir/nats_secrets.new" <<END
ADMIN_PASSWORD: "$admin"
WORKER_PASSWORD: "$worker"
BACKEND_PASSWORD: "$backend"
JETSTREAM_KEY: "$key"
END
  mv "$dir/nats_secrets.new" "$dir/nats_secrets"
  echo "wrote  $dir/nats_secrets"
fi

# Each user's password once more, in the file that its program reads.
password() {
  if [ -e "$dir/$1" ]; then
    echo "kept   $dir/$1"
    return
  fi
  sed -n "s/^$2: \"\(.*\)\"\$/\1/p" "$dir/nats_secrets" >"$dir/$1"
  echo "wrote  $dir/$1"
}
password admin_password ADMIN_PASSWORD
password worker_password WORKER_PASSWORD
password backend_password BACKEND_PASSWORD

echo
echo "Set in .env:  SECRETS_DIR=$(cd "$dir" && pwd)"
