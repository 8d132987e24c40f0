#!/usr/bin/env bash
# Real ALFWorld, every stage from game files to a table and a report. Needs ALFWORLD_DATA (the folder with json_2.1.1).
#   ALFWORLD_DATA=/path/to/alfworld bash runs/alfworld.sh [cpu|gpu] [SEED] [OUT]
# Figures, times and what was learnt from them: RESULTS.md. What the sizes mean: docs/recipes.md.
sizes="cpu gpu"
source "$(dirname "$0")/common.sh"
[[ -n ${ALFWORLD_DATA:-} ]] || refuse "ALFWORLD_DATA is not set: give the folder that holds json_2.1.1"

games=(--env alfworld --split train)
look=(--avoid "Nothing happens")
learned=(--world-model "$out/world_model/model")
if [[ $size == cpu ]]; then
  base=scratch:small k_max=1 wm_epochs=0.5 wm_batch=8 epochs=1 episodes=2400 states=6000 updates=20
  world=(--world-model rules) # labels and A2C ask the rule-based memory, which answers at once; play asks the learned one
else
  base=scratch:base k_max=3 wm_epochs=3 wm_batch=32 epochs=3 episodes=3554 states=12000 updates=100
  world=("${learned[@]}")
fi

# 1. Expert and noisy play on the 3,554 training games, every step labelled by the expert.
"$itp" collect "${games[@]}" --epsilon 0.1 0.3 0.6 --max-steps 40 --seed "$seed" --out "$out/data"

# 2. The world model (eq. 1), trained beside 3. the policy: imitation, then DAgger on its own states.
beside world_model "$itp" train world-model --data "$out"/data/expert-0.3.jsonl "$out"/data/expert-0.6.jsonl \
  --base $base --epochs $wm_epochs --batch-size $wm_batch --lr 1.5e-3 --max-observation-tokens 64 --seed "$seed" \
  --out "$out/world_model"
"$itp" train policy --data "$out"/data/expert-0.1.jsonl "$out"/data/expert-0.3.jsonl --base $base --epochs $epochs \
  --batch-size 64 --seed "$seed" --out "$out/imitation"
halves dagger "${games[@]}" --behaviour policy --policy "$out/imitation/model" --epsilon 0 --max-steps 30 \
  --episodes $episodes --seed "$seed" "${device[@]}"
await world_model
train policy --data "$out"/data/expert-0.1.jsonl "$out"/dagger-[12] --base "$out/imitation/model" --epochs $epochs \
  --batch-size 64 --lr 1e-3 --seed "$seed" --out "$out/policy"

# 4. Labels (eq. 5) on the policy's own states, where looking pays, and warm-up (eq. 6).
halves play "${games[@]}" --behaviour policy --policy "$out/policy/model" --epsilon 0 --max-steps 20 \
  --episodes $episodes --keep-commands --seed $((10 + seed)) "${device[@]}"
"$itp" label --data "$out"/play-[12] --policy "$out/policy/model" "${world[@]}" "${look[@]}" --k-max $k_max \
  --states $states --lambda-k 0.2 --seed "$seed" "${device[@]}" --out "$out/labels"
train warmup --labels "$out/labels" --policy "$out/policy/model" --data "$out"/data/expert-0.1.jsonl \
  --k-max $k_max --foresight label --replay 0.5 --balance --eta 1 --epochs 2 --batch-size 32 --lr 3e-4 --seed "$seed" \
  --out "$out/warmup"

# 5. A2C (eqs. 7-8): which decisions are worth a look ahead? The world model is frozen.
train a2c "${games[@]}" --policy "$out/warmup/model" "${world[@]}" "${look[@]}" --max-steps 30 --envs 32 \
  --rollout 12 --updates $updates --value-warmup 3 --limit loss --cost paper --lambda-k 0.01 --temperature 0.5 \
  --beta 0.02 --lr 2e-5 --head-lr 1e-3 --lr-schedule linear --eval-every 5 --eval-episodes 150 --save-every 5 \
  --seed "$seed" "${a2c_device[@]}" --out "$out/a2c"

# 6. The table, on games that nothing was trained on or chosen by.
table=(--env alfworld --split valid_seen --batch-size 70 --seed 0)
imagine=(--planner itp "${learned[@]}" "${look[@]}")
row imitation --policy "$out/imitation/model" --planner act
row act --policy "$out/policy/model" --planner act
row generate --policy "$out/policy/model" --planner act --action generate
row no-repeat --policy "$out/policy/model" --planner no-repeat
for k in $(seq $k_max); do row "itp-$k" --policy "$out/policy/model" "${imagine[@]}" --horizon "fixed:$k"; done
row itp-1-rules --policy "$out/policy/model" --planner itp --world-model rules "${look[@]}" --horizon fixed:1
for stage in warmup/model a2c/best; do
  name=${stage%/*}
  row "$name-act" --policy "$out/$stage" --planner act
  row "$name-generate" --policy "$out/$stage" --planner act --action generate
  for horizon in learned quantile:0.9 sampled random fixed:1; do
    row "$name-${horizon/:/-}" --policy "$out/$stage" "${imagine[@]}" --horizon $horizon
  done
done
finish_table --against "$out/eval/act"
