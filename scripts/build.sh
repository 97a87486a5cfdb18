# shellcheck shell=bash
# What ./imta and ./test share; sourced with $root set. It needs bash (macOS's 3.2 will do), coreutils and the .NET SDK, and
# writes to bin/ and obj/ of the projects and to artifacts/ only.
#
#   need_dotnet       refuses to go on without it
#   find_program      sets $program to the imta.dll that the present sources were built to; fails where they have not been
#   build [PROJECT]   builds Release, one start at a time; without PROJECT the program, unless another start just did. Sets $program too

artifacts=$root/artifacts
lock=$artifacts/building
host=${HOSTNAME:-localhost}
[[ ! -r /proc/sys/kernel/hostname ]] || read -r host </proc/sys/kernel/hostname # HOSTNAME may be handed down from another machine
shopt -s nullglob

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
refuse() { say "$@"; exit 2; }
alive() { kill -0 "$1" 2>/dev/null || [[ -d /proc/$1 ]]; } # a process of another user takes no signal

need_dotnet() { command -v dotnet >/dev/null || refuse "no dotnet on the PATH; install the .NET SDK 10 (https://dot.net/download)"; }

# A build is named by the content of all it is made from, and by what is set for it.
build_name() (
  cd "$root"
  LC_ALL=C files=()
  for project in */*.csproj; do
    [[ $project == Tests/* ]] || add "${project%/*}"
  done
  add configs
  name=$({ printf '%s\n' "${Torch:-}" "$OSTYPE $HOSTTYPE"; cksum Directory.* "${files[@]}" 2>/dev/null || true; } | cksum)
  echo "${name// /-}"
)

add() {
  local entry
  for entry in "$1"/*; do
    case ${entry##*/} in
      bin | obj | *~) ;;
      *) if [[ -d $entry ]]; then add "$entry"; else files+=("$entry"); fi ;;
    esac
  done
}

find_program() { use "$artifacts/imta/$(build_name)"; }

# A program has a file of its process's number beside it, which exec leaves: a later build leaves the folder of a running one alone.
use() {
  local users=("$1"/users/*)
  program=$1/imta.dll
  [[ -e $program ]] || return
  [[ ${#users[@]} -lt 100 ]] || in_use "$1" || true
  { : >"$1/users/$host-$$"; } 2>/dev/null || true # somebody else's checkout, perhaps
  [[ -e $program ]]
}

in_use() {
  local user used=1
  for user in "$1"/users/*; do
    if [[ ${user##*/} == "$host-${user##*-}" ]] && ! alive "${user##*-}"; then rm -f "$user"; else used=0; fi
  done
  return $used
}

build() {
  local start=$SECONDS name=
  refuse_ranks
  { mkdir -p "$artifacts/logs" "$artifacts/imta" && [[ -w $artifacts ]]; } 2>/dev/null ||
    refuse "cannot write to $artifacts, where the build goes"
  take_lock
  if [[ $# != 0 ]] || ! find_program; then
    [[ $'\n'$(dotnet --list-sdks) == *$'\n'[1-9][0-9].* ]] || refuse "this dotnet has no SDK 10; install it (https://dot.net/download)"
    say "building ..."
    until [[ $name == $(build_name) ]]; do # again where a source changed meanwhile
      name=$(build_name)
      dotnet build "$root/${1:-Experiments/Experiments.csproj}" --configuration Release --nologo -nodeReuse:false \
        >"$artifacts/logs/build.log" 2>&1 </dev/null || failed "$artifacts/logs/build.log"
    done
    keep "$artifacts/imta/$name"
    use "$artifacts/imta/$name"
    say "ready after $((SECONDS - start)) s"
  fi
  leave_lock
}

# Started by mpirun or srun at the same moment, on machines that share this folder or not, they would wait for each other.
refuse_ranks() {
  [[ ${OMPI_COMM_WORLD_SIZE:-1} == 1 && (-z ${PMI_RANK:-} || ${PMI_SIZE:-1} == 1) && ${SLURM_STEP_NUM_TASKS:-1} == 1 ]] ||
    refuse "not built on $host, and ranks do not build: start ./imta config once before, which builds it"
}

# The lock is a link to the name of its owner: it comes into being in one step, with its content.
take_lock() {
  local owner waited=0
  until ln -s "$host-$$" "$lock" 2>/dev/null; do
    owner=$(readlink "$lock") || owner=
    if [[ $owner == "$host-${owner##*-}" ]] && ! alive "${owner##*-}"; then
      break_lock "$owner"
    elif [[ $((waited += 1)) == 5 ]]; then
      [[ -n $owner ]] || refuse "cannot make the link $lock, by which starts wait for each other's builds"
      say "waiting for another start that is building (process ${owner##*-} on ${owner%-*}; if it is gone, remove $lock) ..."
    fi
    sleep 0.1
  done
  trap leave_lock EXIT
}

leave_lock() {
  trap - EXIT
  rm -f "$lock"
}

# Of several starts that find a lock whose owner is gone one at a time looks again: it may be another's by now.
break_lock() {
  mkdir "$lock.broken" 2>/dev/null || return 0
  [[ $(readlink "$lock") != "$1" ]] || rm -f "$lock"
  rmdir "$lock.broken"
}

failed() {
  local line errors=()
  while IFS= read -r line; do
    line=${line#"${line%%[! ]*}"}
    [[ $line != *': error '* || $'\n'${errors[*]-} == *"$line"* ]] || errors+=("$line"$'\n')
  done <"$1"
  say "dotnet build failed; the whole log is $1, and it says:"
  if [[ ${#errors[@]} != 0 ]]; then printf '%s' "${errors[@]:0:10}"; else tail -n 15 "$1"; fi >&2
  exit 1
}

# Copies what was built to a folder of its own, libtorch by hard links, and removes earlier ones but for the last.
keep() {
  local entry folder count=0 built=$root/Experiments/bin/Release/net10.0 new=$artifacts/imta/new old=$artifacts/imta/old
  rm -rf "$new" "$old"
  if [[ ! -e $1 ]]; then
    mkdir -p "$new/users"
    for entry in "$built"/*; do
      case ${entry##*/} in
        linux-* | osx-* | win-* | publish) ;; # dotnet publish's
        libtorch) cp -al "$entry" "$new" 2>/dev/null || cp -a "$entry" "$new" ;;
        *) cp -a "$entry" "$new" ;;
      esac
    done
    mv "$new" "$1"
  fi
  touch "$1"
  ls -dt "$artifacts"/imta/*/ | while IFS= read -r folder; do
    [[ $((count += 1)) -gt 2 ]] && ! in_use "$folder" || continue
    mv "$folder" "$old"
    if in_use "$old"; then mv "$old" "$folder"; else rm -rf "$old"; fi # started in between
  done
}
