# shellcheck shell=bash
# What a machine needs before this checkout can be built and run; sourced by ./imta and ./test. Everything it writes (but
# Debian's packages, and NuGet's own cache) stays in the checkout: bin/ and obj/ of the projects, and artifacts/.
#
#   check_environment      refuses settings that cannot work
#   find_program           sets $program to the built imta.dll, if there is one for the present sources and settings
#   set_up [PROJECT]       installs what is missing and builds Release (unless another start just did); sets $program too
#   set_up_mpi ARGUMENTS   installs an MPI where the command asks for ranks on this machine

root=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
artifacts=$root/artifacts
version_header=include/torch/csrc/api/include/torch/version.h
shopt -s nullglob

# OpenBLAS's idle workers spin beside libtorch's own threads; it reads this when it is loaded.
export OPENBLAS_NUM_THREADS=${OPENBLAS_NUM_THREADS:-1}

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
refuse() { say "$@"; exit 2; }

check_environment() {
  case ${TorchSource:-} in
    '' | system | package) ;;
    *) refuse "TorchSource is '$TorchSource'; it takes system (the libtorch of this machine, or of LIBTORCH) or package (NuGet)" ;;
  esac
  if [[ -n ${LIBTORCH:-} ]]; then
    [[ -e $LIBTORCH/$version_header ]] || refuse "LIBTORCH is '$LIBTORCH', where no include/torch with libtorch's headers is;" \
      "name a libtorch folder (with include/ and lib/), or unset LIBTORCH to use Debian's libtorch-dev"
    LIBTORCH=$(cd "$LIBTORCH" && pwd)
    export LIBTORCH
  fi
  command -v dotnet >/dev/null || refuse "no dotnet on the PATH; install the .NET SDK 10 (https://dot.net/download)"
}

# A build is named by all it is made from: sources, the configuration inside it and libtorch's version header (path, size,
# time), and settings.
build_name() {
  local project folders=()
  for project in "$root"/*/*.csproj; do
    [[ $project == */Tests/* ]] || folders+=("${project%/*}")
  done
  {
    printf '%s\n' "${TorchSource:-}" "${TorchPackage:-}"
    find "$root"/Directory.* "${folders[@]}" "$root/configs/quickstart.yaml" "${LIBTORCH:-/usr}/$version_header" \
      \( -name bin -o -name obj -o -name '.*' -o -name '*~' \) -prune -o -type f -printf '%p %s %T@\n' 2>/dev/null | LC_ALL=C sort || true
  } | sha256sum | cut -c 1-16
}

find_program() { use "$artifacts/imta/$(build_name)"; }

# The lock stays with the program (file descriptor 8 is open across exec): a later build leaves the files of a run alone.
use() {
  program=$1/imta.dll
  [[ -e $program ]] && { exec 8<"$1"; } 2>/dev/null && { flock --shared 8 || true; } && [[ -e $program ]]
}

missing_packages() {
  local blas=(/usr/lib/*/openblas-*/libblas.so.3) report=$root/Experiments
  # The build fetches the charts of imta report by npm, once for each package-lock.json.
  [[ $report/obj/web/node_modules/.package-lock.json -nt $report/Reports/web/package-lock.json ]] || command -v npm >/dev/null || echo npm
  [[ ${TorchSource:-} != package || -n ${LIBTORCH:-} ]] || return 0
  if [[ -z ${LIBTORCH:-} ]]; then
    [[ -e /usr/$version_header ]] || echo libtorch-dev
    [[ ${#blas[@]} != 0 ]] || echo libopenblas0-pthread # else libtorch runs on the reference BLAS, many times slower
  fi
  [[ -n ${CXX:-} ]] || command -v g++ >/dev/null || echo g++
  command -v cmake >/dev/null || echo cmake
  command -v make >/dev/null || echo make
}

# set_up_mpi ARGUMENTS...: installs an MPI where ranks on this machine are asked for and none is here; who cannot install it is told by the program.
set_up_mpi() {
  [[ " $* " == *' --processes'[\ =]* || "${1:-} ${2:-}" == 'bench scale' ]] || return 0
  [[ " $* " != *' --processes'[\ =]1\ * && " $* " != *' --help '* ]] || return 0
  [[ -z ${IMTA_MPI:-}${OMPI_COMM_WORLD_SIZE:-}${PMI_SIZE:-}${SLURM_STEP_ID:-} ]] && ! command -v mpirun >/dev/null && ! command -v mpiexec >/dev/null && can_install || return 0
  mkdir -p "$artifacts/logs"
  (install_packages openmpi-bin) || true # the program says what is missing
}

can_install() { [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; }

install_packages() {
  local install="apt-get install -y --no-install-recommends $*"
  if ! can_install; then
    local instead="(or set TorchSource=package, where the NuGet feed has TorchSharp)"
    [[ ${TorchSource:-} != package ]] || instead=
    refuse "missing on this machine: $*; as root run: apt-get update && $install" ${instead:+"$instead"}
  fi
  say "installing $* ..."
  logged apt.log apt-get update || true # one broken feed of many need not matter; the next line shows
  # shellcheck disable=SC2086 # a command of several words
  DEBIAN_FRONTEND=noninteractive logged apt.log $install -o DPkg::Lock::Timeout=300 || failed apt.log "$install"
}

# 9>&-: compiler servers that outlive the build must not keep the lock.
logged() { "${@:2}" >>"$artifacts/logs/$1" 2>&1 </dev/null 9>&-; }

failed() {
  local log=$artifacts/logs/$1
  say "failed: $2; the whole log is $log, and it ends:"
  { grep -E '(: |^)(fatal |CMake )?(error|E:|Error)' "$log" | sort -u | tail -n 10 | grep . || tail -n 15 "$log"; } >&2
  exit 1
}

set_up() {
  local missing folder start=$SECONDS
  { mkdir -p "$artifacts/logs" "$artifacts/imta" && exec 9>"$artifacts/lock"; } 2>/dev/null || refuse "cannot write to $artifacts, where the build goes"
  flock --nonblock 9 || { say "waiting for another start that is building ..."; flock 9; }
  if [[ $# == 0 ]] && find_program; then
    exec 9>&-
    return
  fi
  mapfile -t missing < <(missing_packages)
  # The browser that tests open reports in; they are skipped without it, so nobody has to have it.
  [[ $# == 0 ]] || command -v chromium >/dev/null || ! can_install || missing+=(chromium)
  rm -f "$artifacts"/logs/*
  [[ ${#missing[@]} == 0 ]] || install_packages "${missing[@]}"
  [[ $(dotnet --list-sdks) =~ (^|$'\n')[1-9][0-9]\. ]] || refuse "this dotnet has no SDK 10; install it (https://dot.net/download)"
  say "building ..."
  folder=$artifacts/imta/$(build_name)
  logged build.log dotnet build "$root/${1:-Experiments/Experiments.csproj}" --configuration Release --nologo -nodeReuse:false ||
    failed build.log "dotnet build"
  keep "$folder"
  use "$folder"
  exec 9>&-
  say "ready after $((SECONDS - start)) s"
}

# Copies what was built to a folder of its own and removes earlier ones that no running program uses.
keep() {
  local other
  for other in "$artifacts"/imta/*/; do
    (flock --exclusive --nonblock 7 && rm -rf "$other") 7<"$other" || true
  done
  if [[ ! -e $1 ]]; then
    cp -a --reflink=auto "$root/Experiments/bin/Release/net10.0" "$artifacts/imta/new"
    mv "$artifacts/imta/new" "$1"
  fi
}
