#!/usr/bin/env bash
# ScienceWorld, every stage from gold paths to a table and a report. Needs Java; the field's splits are built in.
#   bash runs/scienceworld.sh [cpu|gpu] [SEED] [OUT]
# Policy and world model learn from `fit`, nine in ten of the field's training tasks; choices are made on `valid`, the
# tenth. Figures, times and what was learnt from them: RESULTS.md. What the sizes mean: docs/recipes.md.
source "$(dirname "$0")/common.sh"

if [[ $size == cpu ]]; then
  base=scratch:small epochs=8 wm_epochs=1 rollouts=300 states=600 updates=10 jvms=2
else
  base=scratch:base epochs=16 wm_epochs=4 rollouts=1300 states=6000 updates=60 jvms=12
fi
env=(--env scienceworld --batch-size $jvms --workers $jvms)
model=(--renderer history --base $base --vocab-size 2048 --max-state-tokens 1536 --window 48 --batch-size 16 --lr 2e-3)

# 1. Gold paths of the training tasks.
"$itp" collect "${env[@]}" --split fit --env-option expert=true --epsilon 0 --max-steps 250 --seed "$seed" \
  --out "$out/data"

# 2. Policy: imitation, every action of an episode a label.
"$itp" train policy --data "$out/data" "${model[@]}" --epochs $epochs --seed "$seed" --out "$out/policy"

# 3. The world model (eq. 1): gold paths, and what the policy does to the same tasks (D_exp and D_roll).
"$itp" collect "${env[@]}" --split fit --behaviour policy --policy "$out/policy/model" --epsilon 0 --max-steps 40 \
  --episodes $rollouts --seed "$seed" "${device[@]}" --out "$out/rollouts"
"$itp" train world-model --data "$out/data" "$out/rollouts" --base "$out/policy/model" --renderer history \
  --max-state-tokens 1536 --window 48 --batch-size 16 --lr 1e-3 --epochs $wm_epochs --max-observation-tokens 128 \
  --eval-episodes 4 --seed "$seed" --out "$out/world_model"
world=(--world-model "$out/world_model/model")

# 4. Labels (eq. 5) and warm-up (eq. 6); 5. A2C (eqs. 7-8). Commands are written freely here, as the paper does.
"$itp" label --data "$out/data" --policy "$out/policy/model" "${world[@]}" --k-max 2 --states $states --seed "$seed" \
  "${device[@]}" --batch-size 16 --out "$out/labels"
"$itp" train warmup --labels "$out/labels" --policy "$out/policy/model" --data "$out/data" --k-max 2 --replay 1 \
  --epochs 1 --batch-size 16 --lr 2e-4 --seed "$seed" --out "$out/warmup"
"$itp" train a2c --env scienceworld --split fit --workers $jvms --envs $jvms --policy "$out/warmup/model" "${world[@]}" \
  --action generate --updates $updates --rollout 8 --value-warmup 3 --lr 2e-5 --lr-schedule linear --eval-every 10 \
  --eval-episodes 16 --max-steps 40 --seed "$seed" "${a2c_device[@]}" --out "$out/a2c"

# 6. The table. test_seen shares 54 of its 194 pairs with the field's training list: docs/scienceworld.md.
play() { # NAME SPLIT POLICY FLAG...
  local name=$1 split=$2 from=$3
  shift 3
  "$itp" eval "${env[@]}" --split "$split" --seed 0 --policy "$out/$from" "${device[@]}" "$@" --out "$out/eval/$split-$name"
}
for split in test_seen test_unseen; do
  play act $split policy/model --planner act --action generate
  play itp-1 $split warmup/model --planner itp --action generate "${world[@]}" --horizon fixed:1
  play warmup $split warmup/model --planner itp --action generate "${world[@]}" --horizon learned
  play a2c $split a2c/best --planner itp --action generate "${world[@]}" --horizon learned
done
"$itp" compare "$out"/eval/*
"$itp" report "$out/eval" "$out/a2c" --out "$out/report.html"
