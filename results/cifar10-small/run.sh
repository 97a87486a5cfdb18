#!/usr/bin/env bash
# Makes the tables beside this script: learned weights and plain training on real CIFAR-10, three seeds each, one thread a run and
# two runs at a time. results/cifar10-small/run.sh DIR    DIR holds cifar-10-batches-bin/
set -euo pipefail
data=$(realpath "${1:?folder of CIFAR-10}")
cd "$(dirname "$0")"

run() { ../../imta train "../../configs/$1.yaml" --data "$data" --seed "$2" --threads 1 --out "$1-s$2" --force; }

../../imta --version >/dev/null # set up and build once
(run cifar10-small 0 && for seed in 0 1 2; do run cifar10-small-plain $seed || exit 1; done) &
(run cifar10-small 1 && run cifar10-small 2) &
wait -n && wait -n

# What is kept here: tables and configuration. Checkpoints and per-sample weights are made again by this script.
rm -rf ./*/checkpoints ./*/weights
sed -i "s|$data|DIR|" ./*/config.yaml ./*/environment.json
