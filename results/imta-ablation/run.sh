#!/usr/bin/env bash
# Makes the tables beside this script: the five rows of IMTA's ablation on real CIFAR-10, cut down to minutes; one seed, one thread a run,
# two runs at a time. results/imta-ablation/run.sh DIR    DIR holds cifar-10-batches-bin/
set -euo pipefail
data=$(realpath "${1:?folder of CIFAR-10}")
cd "$(dirname "$0")"

short=(--set data.trainLimit=6000 --set train.epochs=12 --set "train.milestones=[6, 9]" --seed 0 --threads 1 --force)
phase2=(--set phase2.epochs=6 --set "phase2.milestones=[3, 5]")

run() { ../../imta train "../../configs/imta/imta-ablation-$1.yaml" --data "$data" --out "$1" "${short[@]}" "${@:2}"; }

../../imta --version >/dev/null # set up and build once
# The rows without a phase II are phase I of those with one.
(run none && run isc "${phase2[@]}" --set phase2.from=none && run ofa "${phase2[@]}" --set phase2.from=none) &
(run ge && run all "${phase2[@]}" --set phase2.from=ge) &
wait -n && wait -n

# What is kept here: tables and configuration. Checkpoints and per-sample weights are made again by this script.
rm -rf ./*/checkpoints ./*/weights
sed -i "s|$data|DIR|" ./*/config.yaml ./*/environment.json
