#!/usr/bin/env bash
# ITP-R where mistakes cannot be taken back: household games with irreversible hazards, from scratch, on CPU. Three seeds
# of A2C from one warm-up, then all of them on 200 games they never saw. Every step resumes when run again.
#   bash runs/irreversible.sh [OUT]
set -euo pipefail
out=${1:-out/irreversible}
itp=${ITP:-.venv/bin/itp}
export OMP_NUM_THREADS=1
games=(--env household --env-option family=irreversible --max-steps 30)
small=(--base scratch:tiny)

# 1. Expert and noisy play, world model, policy (0.7M parameters each).
"$itp" collect "${games[@]}" --epsilon 0 0.3 --episodes 800 --out "$out/data"
"$itp" train world-model --data "$out/data" "${small[@]}" --max-observation-tokens 64 --lr 2e-3 --epochs 2 \
  --batch-size 8 --out "$out/world_model"
"$itp" train policy --data "$out/data" "${small[@]}" --lr 3e-3 --epochs 3 --batch-size 32 --out "$out/policy"

# 2. Imagine, learn to read foresight, label (eq. 5), warm up (eq. 6).
labels=(--data "$out/data" --world-model "$out/world_model/model" --k-max 3 --states 1500)
warm=(--data "$out/data" --replay 1 --k-max 3 --epochs 1 --batch-size 32)
"$itp" label "${labels[@]}" --policy "$out/policy/model" --out "$out/foresights"
"$itp" train warmup --labels "$out/foresights" --policy "$out/policy/model" "${warm[@]}" --foresight uniform --eta 0 \
  --draws 4 --lr 5e-4 --out "$out/reader"
"$itp" label "${labels[@]}" --policy "$out/reader/model" --reuse "$out/foresights" --out "$out/labels"
"$itp" train warmup --labels "$out/labels" --policy "$out/reader/model" "${warm[@]}" --draws 2 --lr 3e-4 \
  --out "$out/warmup"

# 3. A2C, three seeds (eqs. 7-8).
for seed in 0 1 2; do
  "$itp" train a2c "${games[@]}" --policy "$out/warmup/model" --world-model "$out/world_model/model" --seed "$seed" \
    --updates 50 --envs 16 --rollout 24 --gae-lambda 0.98 --limit loss --irreversible-penalty 0.2 --temperature 0.5 \
    --cost paper --lambda-k 0.05 --beta 0.001 --lr 3e-4 --head-lr 3e-3 --value-warmup 3 \
    --eval-every 50 --eval-episodes 100 --save-every 10 --out "$out/a2c-$seed"
done

# 4. The table.
for name in warmup a2c-0 a2c-1 a2c-2; do
  "$itp" eval "${games[@]}" --split valid --planner itp --horizon learned --policy "$out/$name/model" \
    --world-model "$out/world_model/model" --episodes 200 --batch-size 64 --out "$out/eval/$name"
done
"$itp" compare "$out"/eval/*
