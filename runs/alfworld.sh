#!/usr/bin/env bash
# From real ALFWorld games to the README's table, on CPU, from scratch. Needs ALFWORLD_DATA; every step resumes when run
# again. About an hour on two idle cores.
#   ALFWORLD_DATA=/path/to/alfworld bash runs/alfworld.sh [OUT]
set -euo pipefail
: "${ALFWORLD_DATA:?set ALFWORLD_DATA to the folder that holds json_2.1.1}"
out=${1:-out/alfworld}
itp=${ITP:-.venv/bin/itp}
export OMP_NUM_THREADS=1

# 1. Expert and noisy play on the 3,554 training games (every step labelled by the expert): two minutes.
"$itp" collect --env alfworld --split train --epsilon 0.1 0.3 0.6 --max-steps 40 --out "$out/data"
mild=("$out"/data/expert-0.1.jsonl "$out"/data/expert-0.3.jsonl)

# 2. World model and policy, 1.9M parameters each.
"$itp" train world-model --data "$out"/data/expert-0.3.jsonl "$out"/data/expert-0.6.jsonl --epochs 0.5 --batch-size 8 \
  --lr 1.5e-3 --max-observation-tokens 64 --out "$out/world_model"
"$itp" train policy --data "${mild[@]}" --epochs 1 --batch-size 64 --out "$out/policy1"

# 3. DAgger: the policy plays, the expert says what it would have done.
"$itp" collect --env alfworld --split train --behaviour policy --policy "$out/policy1/model" --epsilon 0 --max-steps 30 \
  --episodes 2400 --out "$out/dagger"
"$itp" train policy --data "$out"/data/expert-0.1.jsonl "$out/dagger" --base "$out/policy1/model" --epochs 1 \
  --batch-size 64 --lr 1e-3 --out "$out/policy"

# 4. Labels, warm-up and A2C of the K-head (eqs. 5-8), one imagined step, with the rule-based memory as world model:
# it answers at once. Played below with the learned one.
"$itp" label --data "$out"/data/expert-0.1.jsonl --policy "$out/policy/model" --world-model rules --k-max 1 \
  --states 1000 --out "$out/labels"
"$itp" train warmup --labels "$out/labels" --policy "$out/policy/model" --data "$out"/data/expert-0.1.jsonl --k-max 1 \
  --replay 1 --epochs 1 --draws 1 --batch-size 32 --lr 2e-4 --out "$out/warmup"
look=(--avoid "Nothing happens")
"$itp" train a2c --env alfworld --split train --policy "$out/warmup/model" --world-model rules "${look[@]}" \
  --max-steps 30 --envs 32 --rollout 12 --eval-every 10 --eval-episodes 100 --value-warmup 3 --limit loss \
  --gae-lambda 0.95 --cost paper --lambda-k 0.01 --temperature 0.5 --lr 5e-5 --head-lr 1e-2 --beta 0.15 --updates 40 \
  --save-every 10 --out "$out/a2c"

# 5. The table, on games that nothing was trained on or chosen by.
games=(--env alfworld --split valid_seen --batch-size 70 --seed 0)
learned=("${look[@]}" --world-model "$out/world_model/model")
"$itp" eval "${games[@]}" --planner act --policy "$out/policy1/model" --out "$out/eval/act-imitation"
"$itp" eval "${games[@]}" --planner act --policy "$out/policy/model" --out "$out/eval/act"
"$itp" eval "${games[@]}" --planner no-repeat --policy "$out/policy/model" --out "$out/eval/no-repeat"
"$itp" eval "${games[@]}" --planner itp --horizon fixed:1 "${learned[@]}" --policy "$out/policy/model" \
  --out "$out/eval/itp-1"
"$itp" eval "${games[@]}" --planner itp --horizon fixed:1 "${look[@]}" --world-model rules --policy "$out/policy/model" \
  --out "$out/eval/itp-1-rules"
for name in warmup/model a2c/best a2c/model; do
  "$itp" eval "${games[@]}" --planner itp --horizon learned "${learned[@]}" --policy "$out/$name" \
    --out "$out/eval/${name/\//-}"
done
"$itp" compare "$out"/eval/* --against "$out/eval/act"
