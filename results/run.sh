#!/usr/bin/env bash
# Runs what a folder beside this script still lacks of its sweep.yaml, and makes its tables and report again; stopped, it goes on where it was.
# results/run.sh FOLDER DIR [JOBS]    such as results/run.sh long-tail DIR 2; DIR holds cifar-10-batches-bin/
set -euo pipefail
name=$(basename "${1:?a folder beside this script}")
data=$(realpath -e "${2:?folder of CIFAR-10}")
cd "$(dirname "$0")"
mkdir -p "full/$name" # of the runs in full, with checkpoints, predictions and per-sample weights; not kept in the repository
ln -sfn "$data" cifar10
if [[ ! -e full/$name/sweep.yaml && -e $name/runs.csv ]]; then # in a new clone, go on from the runs that are kept
  cp -r "$name"/{runs,runs.csv,sweep.yaml} "full/$name/"
fi

status=0
../imta sweep "$name/sweep.yaml" --out "full/$name" --jobs "${3:-2}" || status=$?
../imta report "full/$name" --out "$name/report.html" --force

rm -rf "${name:?}/runs"
cp "full/$name"/*.csv "$name/"
# Those that are done.
while IFS=, read -r _ _ folder state _; do
  [[ $state == done ]] || continue
  (cd "full/$name" && find "$folder" \( -name checkpoints -o -name weights \) -prune -o \( -name '*.csv' -o -name '*.yaml' -o -name '*.json' \) ! -name predictions.csv -print) |
    while read -r file; do
      mkdir -p "$name/$(dirname "$file")"
      cp "full/$name/$file" "$name/$file"
    done
done < <(tr -d '\r' <"full/$name/runs.csv" | tail -n +2)
exit "$status"
