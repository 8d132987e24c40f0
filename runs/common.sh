# Sourced by the recipes, which say their $sizes first: what `bash runs/NAME.sh [SIZE [SEED [OUT]]]` means, where `itp` is,
# what a GPU changes, and how work is shared by two processes.
# Every stage resumes when its recipe is run again, and is skipped once it is done; so a recipe may be stopped at any time.
set -euo pipefail
recipe=$(basename "$0" .sh)
size=${1:-cpu} seed=${2:-0}
out=${3:-out/$recipe-$size-$seed}
itp=${ITP:-.venv/bin/itp}

refuse() {
  echo "runs/$recipe.sh: $1" >&2
  exit 2
}

((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 501)) || refuse "bash $BASH_VERSION is too old: run it with 5.1 or newer"
[[ $size =~ ^[a-z]+$ && " $sizes " == *" $size "* ]] || refuse "size $size is unknown: give one of $sizes"
[[ $seed =~ ^[0-9]+$ ]] || refuse "seed $seed is no number: give 0, 1, 2 ..."
command -v "$itp" > /dev/null || refuse "$itp is not there: run 'make setup' first, or set ITP to the itp command"
itp=$(command -v "$itp") # accelerate lies beside it

device=() a2c_device=()
if [[ $size == gpu ]]; then
  device=(--device cuda) a2c_device=(--device cuda --bf16)
else
  cores=$(env -u OMP_NUM_THREADS nproc) # with the variable nproc answers what it says
  export OMP_NUM_THREADS=1              # small matrices: two stages side by side are faster than one with two threads
fi

# What runs in the background must not outlive the recipe (a script's background jobs do not hear Ctrl-C).
trap 'jobs -p | xargs -r kill 2> /dev/null || true' EXIT

# Starts a stage beside those that follow, its output in OUT/NAME.log; `await NAME` stands before what needs it.
declare -A started=()
beside() { # NAME COMMAND...
  local name=$1
  shift
  mkdir -p "$(dirname "$out/$name")"
  "$@" > "$out/$name.log" 2>&1 &
  started[$name]=$!
}
await() { # NAME
  echo "$1: waiting, see $out/$1.log"
  wait "${started[$1]}" || refuse "$1 failed: see $out/$1.log"
}

# Plays two halves of what the flags say side by side, into OUT/NAME-1 and OUT/NAME-2.
halves() { # NAME FLAG...
  local name=$1
  shift
  shards "$name" 1/2 2/2 "$@"
}
shards() { # NAME SHARD SHARD FLAG...: the same for other parts than halves
  local name=$1 first=$2 second=$3
  shift 3
  beside "$name-2" "$itp" collect "$@" --shard "$second" --out "$out/$name-2"
  "$itp" collect "$@" --shard "$first" --out "$out/$name-1"
  await "$name-2"
}

# One stage at a time trains here: on a CPU in two processes, on the same rows in the same order as in one.
train() {
  if [[ $size != gpu && $cores -gt 1 ]]; then
    "${itp%/*}/accelerate" launch \
      --config_file "$(dirname "$0")/../configs/accelerate/cpu_2_processes.yaml" -m itp.cli train "$@"
  else
    "$itp" train "$@"
  fi
}

# Plays a row of the table beside another one, into OUT/$into/NAME, with the flags in `table` first.
declare -A rows=() # names by process
table=() into=eval
row() { # NAME FLAG...
  local name=$1
  shift
  [[ ${#rows[@]} -lt 2 ]] || finish_row
  echo "$name: plays, see $out/$into/$name.log"
  beside "$into/$name" "$itp" eval "${table[@]}" "${device[@]}" "$@" --out "$out/$into/$name"
  rows[$!]=$into/$name
}
finish_row() { # whichever ends first
  local ended=
  wait -n -p ended "${!rows[@]}" || refuse "${rows[$ended]} failed: see $out/${rows[$ended]}.log"
  unset "rows[$ended]"
}
finish_rows() {
  while [[ ${#rows[@]} -gt 0 ]]; do finish_row; done
}
finish_table() { # compare FLAG...
  finish_rows
  "$itp" compare "$out"/eval/*/ "$@"
  "$itp" report "$out/eval" "$out/a2c" --out "$out/report.html"
}
