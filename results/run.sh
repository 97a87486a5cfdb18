#!/usr/bin/env bash
# Makes the tables and the report of a folder beside this script again, from its sweep.yaml; stopped, it goes on where it was.
# results/run.sh FOLDER DIR [JOBS]    such as results/run.sh long-tail DIR 2; DIR holds cifar-10-batches-bin/
set -euo pipefail
name=$(basename "${1:?a folder beside this script}")
data=$(realpath -e "${2:?folder of CIFAR-10}")
cd "$(dirname "$0")"
mkdir -p full # of the runs in full, with checkpoints, predictions and per-sample weights; not kept in the repository
ln -sfn "$data" cifar10

../imta sweep "$name/sweep.yaml" --out "full/$name" --jobs "${3:-2}"
../imta report "full/$name" --out "$name/report.html" --force

rm -rf "${name:?}/runs"
cp "full/$name"/*.csv "$name/"
(cd "full/$name" && find runs \( -name checkpoints -o -name weights \) -prune -o \( -name '*.csv' -o -name '*.yaml' -o -name '*.json' \) ! -name predictions.csv -print) |
  while read -r file; do
    mkdir -p "$name/$(dirname "$file")"
    cp "full/$name/$file" "$name/$file"
  done
