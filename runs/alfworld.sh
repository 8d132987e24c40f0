#!/usr/bin/env bash
# From real ALFWorld games to the README's table, on CPU. Needs ALFWORLD_DATA; every step resumes when run again.
#   ALFWORLD_DATA=/path/to/alfworld bash runs/alfworld.sh [OUT]
set -euo pipefail
: "${ALFWORLD_DATA:?set ALFWORLD_DATA to the folder that holds json_2.1.1}"
out=${1:-out/alfworld}
itp=${ITP:-.venv/bin/itp}
k_max=5

# 1. Expert and noisy play on the 3,554 training games (every step labelled by the expert).
"$itp" collect --env alfworld --split train --epsilon 0.1 0.3 0.6 --max-steps 40 --out "$out/data"

# 2. World model and policy from scratch, 1.9M parameters each; the policy in two rounds, the second in smaller batches.
"$itp" train world-model --data "$out"/data/expert-0.3.jsonl "$out"/data/expert-0.6.jsonl \
  --epochs 0.8 --batch-size 8 --lr 1.5e-3 --max-observation-tokens 64 --out "$out/world_model"
mild=(--data "$out"/data/expert-0.1.jsonl "$out"/data/expert-0.3.jsonl --epochs 1)
"$itp" train policy "${mild[@]}" --out "$out/policy1"
"$itp" train policy "${mild[@]}" --base "$out/policy1/model" --batch-size 32 --lr 1e-3 --out "$out/policy"

# 3. Imagine from training states, learn to read foresight, label (eq. 5), warm up (eq. 6).
labels=(--data "$out"/data/expert-0.3.jsonl --world-model "$out/world_model/model" --k-max "$k_max" --states 400)
"$itp" label "${labels[@]}" --policy "$out/policy/model" --out "$out/foresights"
"$itp" train warmup --labels "$out/foresights" --policy "$out/policy/model" --k-max "$k_max" \
  --foresight uniform --eta 0 --draws 3 --batch-size 32 --out "$out/reader"
"$itp" label "${labels[@]}" --policy "$out/reader/model" --reuse "$out/foresights" --out "$out/labels"
"$itp" train warmup --labels "$out/labels" --policy "$out/reader/model" --k-max "$k_max" --batch-size 32 --out "$out/warmup"

# 4. Online A2C on training games, world model frozen (eqs. 7-8).
"$itp" train a2c --env alfworld --split train --policy "$out/warmup/model" --world-model "$out/world_model/model" \
  --updates 10 --rollout 4 --value-warmup 3 --max-steps 40 --out "$out/a2c"

# 5. The world model on games it never saw, and the table; SFT on the official engine.
"$itp" collect --env alfworld --split valid_seen --epsilon 0 0.3 --max-steps 40 --out "$out/valid"
"$itp" world-model eval --world-model "$out/world_model/model" --data "$out/valid" --train-data "$out/data" \
  --transitions 600 --out "$out/fidelity"
# The engines give equal traces, so the rows that imagine are played on the fast one. The README's fixed:1
# row is a subset of 40 games; fixed:3 it lacks, for want of time: imagination is slow on CPU.
for row in "act fixed:0 0" "itp learned 0" "itp fixed:1 40" "itp fixed:3 40"; do
  read -r planner horizon episodes <<<"$row"
  "$itp" eval --env alfworld --split valid_seen --engine fast --planner "$planner" --horizon "$horizon" \
    --episodes "$episodes" --batch-size 40 --policy "$out/a2c/model" --world-model "$out/world_model/model" \
    --out "$out/eval/$planner-${horizon/:/-}"
done
"$itp" eval --env alfworld --split valid_seen --engine textworld --planner act \
  --policy "$out/policy/model" --out "$out/eval/sft"
"$itp" compare "$out"/eval/*
