#!/usr/bin/env bash
# A planning problem where lookahead must win: household games whose irreversible hazards are NOT announced, and the
# engine itself as the world model. One policy, the same weights in both arms, plays with and without K = 3 imagined
# steps. From scratch, on CPU; every step resumes when run again. docs/horizons.md has the figures and what they mean.
#   bash runs/lookahead.sh [OUT]
set -euo pipefail
out=${1:-out/lookahead}
itp=${ITP:-.venv/bin/itp}
export OMP_NUM_THREADS=1
games=(--env household --env-option family=irreversible announce=false)
train=("${games[@]}" episodes=3000)

# 1. A policy that imitates an expert who knows no more than the player: it cannot see the hazards (0.7M parameters).
"$itp" collect "${train[@]}" --heedless --epsilon 0 0.3 --episodes 3000 --max-steps 30 --out "$out/data"
"$itp" train policy --data "$out/data" --base scratch:tiny --lr 3e-3 --epochs 2 --batch-size 32 --out "$out/policy"

# 2. Its own play in training games, each state labelled by an expert who was told the hazards (expert=true).
"$itp" collect "${train[@]}" expert=true --behaviour policy --policy "$out/policy/model" --epsilon 0.1 --episodes 1000 \
  --batch-size 128 --max-steps 16 --out "$out/lessons"

# 3. The same policy learns from these labels, behind 0 to 3 steps of its own true foresight. K = 0 is drawn as often as
#    any other K, and --replay adds more rows without foresight: acting without imagination is taught as well.
"$itp" label --data "$out/lessons" --policy "$out/policy/model" --world-model exact --k-max 3 --states 8000 \
  --batch-size 128 --out "$out/foresights"
"$itp" train warmup --labels "$out/foresights" --policy "$out/policy/model" --data "$out/lessons" --replay 0.2 --k-max 3 \
  --foresight uniform --eta 0 --draws 2 --epochs 1 --batch-size 32 --lr 7e-4 --out "$out/reader"

# 4. The two arms, on 200 games that nothing was trained on.
arms=("${games[@]}" --split valid --episodes 200 --seed 0 --max-steps 30 --batch-size 64 --policy "$out/reader/model")
"$itp" eval "${arms[@]}" --planner act --out "$out/eval/act"
"$itp" eval "${arms[@]}" --planner itp --horizon fixed:3 --world-model exact --out "$out/eval/itp"
"$itp" compare "$out/eval/act" "$out/eval/itp"
