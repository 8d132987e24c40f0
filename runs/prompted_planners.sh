#!/usr/bin/env bash
# Every prompted planner on the same household games with the same small model, and one table at the end. The model is
# trained here, from scratch, to answer all prompts (about 20 minutes on one CPU core); give a MODEL (transformers:PATH or
# openai:URL) to play with your own, and the default prompts instead of the short ones. Every step resumes.
#   bash runs/prompted_planners.sh [OUT] [MODEL] [EPISODES]
set -euo pipefail
out=${1:-out/prompted}
model=${2:-}
episodes=${3:-20}
itp=${ITP:-.venv/bin/itp}
export OMP_NUM_THREADS=1
prompts=()
if [ -z "$model" ]; then
  prompts=(--prompts configs/prompts/short)
  "$itp" collect --env household --env-option episodes=600 --max-steps 30 --epsilon 0 0.3 --episodes 600 --keep-commands \
    --out "$out/data"
  "$itp" train policy --data "$out/data" --objective prompts "${prompts[@]}" --base scratch:tiny --lr 3e-3 --epochs 3 \
    --batch-size 32 --out "$out/model"
  model=transformers:$out/model/model
fi
games=(--env household --split valid --episodes "$episodes" --seed 0 --max-steps 30 --batch-size "$episodes")
asked=(--policy "$model" "${prompts[@]}" --k-max 3 --answer-tokens 160 --cache "$out/cache")

for planner in act cot react self-refine multi-attempt k-candidates tot mcts rap; do
  "$itp" eval "${games[@]}" --planner "$planner" "${asked[@]}" --out "$out/eval/$planner"
done
for horizon in fixed:0 prompted fixed:1 fixed:3; do
  "$itp" eval "${games[@]}" --planner itp-i --horizon "$horizon" "${asked[@]}" --out "$out/eval/itp-i-$horizon"
done
"$itp" eval "${games[@]}" --planner itp-i --imagination one-shot "${asked[@]}" --out "$out/eval/itp-i-one-shot"
"$itp" compare "$out"/eval/*
