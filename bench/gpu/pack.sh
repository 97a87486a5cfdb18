#!/usr/bin/env bash
# Packs what a machine with a GPU needs to run this framework without a .NET SDK: the program with its runtime, and the sources of
# the native library, which run.sh builds there against that machine's libtorch.  bench/gpu/pack.sh [FILE.tar.xz]
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.." && pwd)
file=$(realpath -m "${1:-$root/artifacts/imta-gpu.tar.xz}")
. "$root/scripts/setup.sh"

check_environment
set_up
bundle=$(mktemp -d)
trap 'rm -rf "$bundle"' EXIT
say "publishing ..."
logged publish.log dotnet publish "$root/Experiments/Experiments.csproj" --configuration Release --runtime linux-x64 --self-contained --nologo -nodeReuse:false \
  --output "$bundle/imta/program" || failed publish.log "dotnet publish"
rm -f "$bundle"/imta/program/{libimta_native.so,*.xml,*.pdb}
mkdir -p "$bundle/imta/Native" "$bundle/imta/bench"
cp -r "$root"/Native/{CMakeLists.txt,src} "$bundle/imta/Native"
cp -r "$root/configs" "$bundle/imta"
cp "$root"/bench/pytorch_step.py "$bundle/imta/bench"
cp "$root"/bench/gpu/run.sh "$bundle/imta"
mkdir -p "$(dirname "$file")"
tar -C "$bundle" -c imta | xz -T0 -6 >"$file.part"
mv "$file.part" "$file"
say "$file: $(du -h "$file" | cut -f 1)"
