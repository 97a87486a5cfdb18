#!/usr/bin/env bash
# Runs what a folder beside this script still lacks of its sweep.yaml, and makes its tables and report; stopped, it goes on where it was.
# results/run.sh FOLDER DIR [JOBS [OPTION...]]    such as results/run.sh long-tail DIR 2; DIR holds cifar-10-batches-bin/
# Options are those of imta sweep, such as --seeds 0 --variant plain. A call without them makes comparison.csv and report.html, once all is
# done.
set -euo pipefail
name=$(basename "${1:?a folder beside this script}")
data=$(realpath -e "${2:?folder of CIFAR-10}")
cd "$(dirname "$0")"
[[ -e $name/sweep.yaml ]] || { echo "run.sh: there is no results/$name/sweep.yaml" >&2; exit 2; }
full=full/$name # the runs in full, with checkpoints, predictions and per-sample weights; not kept in the repository
mkdir -p full
ln -sfn "$data" cifar10
if [[ ! -e $full && -d $name/runs ]]; then # a new clone goes on from the runs that are kept
  mkdir "$full"
  cp -r "$name"/{runs,runs.csv,sweep.yaml} "$full/"
fi

status=0
../imta sweep "$name/sweep.yaml" --out "$full" --jobs "${3:-2}" "${@:4}" || status=$?
case $status in
  0 | 1 | 130 | 143) ;; # done, some runs failed, or stopped
  *) exit "$status" ;;
esac

# The tables of runs that are done: those write them at their end.
rm -rf "$full.kept"
for run in "$full"/runs/*/seed-*/; do
  [[ -e ${run}exits.csv ]] || continue
  kept=$full.kept/${run#"$full/runs/"}
  mkdir -p "$kept"
  for file in "$run"*.csv "$run"*.yaml "$run"*.json; do
    [[ $file == */predictions.csv ]] || cp "$file" "$kept"
  done
done
[[ -d $full.kept ]] || { echo "run.sh: no run of $name is done yet" >&2; exit "$status"; }
rm -rf "${name:?}/runs"
mv "$full.kept" "$name/runs"
cp "$full"/{runs,summary}.csv "$name/"
rm -f "$name/comparison.csv"

# Variants are compared once all is done. Charts of weights and of single answers need files of the first seed that are not kept.
if [[ $status == 0 && $# -lt 4 ]]; then
  cp "$full/comparison.csv" "$name/"
  if compgen -G "$full/runs/*/seed-*/predictions.csv" >/dev/null || [[ ! -e $name/report.html ]]; then
    ../imta report "$full" --out "$name/report.html" --force
  fi
fi
exit "$status"
