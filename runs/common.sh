# Sourced by the recipes: what `bash runs/NAME.sh [SIZE [SEED [OUT]]]` means, where `itp` is, and what a GPU changes.
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

sizes=${sizes:-cpu gpu}
[[ " $sizes " == *" $size "* ]] || refuse "size $size is unknown: give one of $sizes"
[[ $seed =~ ^[0-9]+$ ]] || refuse "seed $seed is no number: give 0, 1, 2 ..."
command -v "$itp" > /dev/null || refuse "$itp is not there: run 'make setup' first, or set ITP to the itp command"

device=() a2c_device=()
if [[ $size == gpu ]]; then
  device=(--device cuda) a2c_device=(--device cuda --bf16)
else
  export OMP_NUM_THREADS=1 # small matrices: two stages side by side are faster than one with two threads
fi

# What runs in the background must not outlive the recipe (a script's background jobs do not hear Ctrl-C).
trap 'jobs -p | xargs -r kill 2> /dev/null || true' EXIT
