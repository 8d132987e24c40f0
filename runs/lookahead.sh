#!/usr/bin/env bash
# A planning problem where lookahead must win: household games whose irreversible hazards are NOT announced, and the
# engine itself as the world model. One trained policy, the very same weights in both arms, with and without K = 3
# imagined steps. From scratch, on CPU; every step resumes when run again. docs/horizons.md has the figures.
#   bash runs/lookahead.sh [OUT]
set -euo pipefail
out=${1:-out/lookahead}
itp=${ITP:-.venv/bin/itp}
export OMP_NUM_THREADS=1
games=(--env household --env-option family=irreversible announce=false)

# 1. A policy (0.7M parameters) that imitates an expert who knows no more than the player: neither can see the hazards.
"$itp" collect "${games[@]}" episodes=3000 --heedless --epsilon 0 0.3 --episodes 3000 --max-steps 30 --out "$out/data"
"$itp" train policy --data "$out/data" --base scratch:tiny --lr 3e-3 --epochs 2 --batch-size 32 --out "$out/policy"

# 2. On 200 games that nothing was trained on: it acts; and it looks where a command would lead before it takes it.
arms=("${games[@]}" --split valid --episodes 200 --seed 0 --batch-size 64 --policy "$out/policy/model")
"$itp" eval "${arms[@]}" --planner act --out "$out/eval/act"
for k in 1 3; do
  "$itp" eval "${arms[@]}" --planner itp --horizon "fixed:$k" --world-model exact \
    --avoid "is gone for good" "breaks for good" "locks for good" --out "$out/eval/itp-$k"
done
"$itp" compare "$out"/eval/act "$out"/eval/itp-*
