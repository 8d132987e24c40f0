#!/usr/bin/env bash
# Household games with irreversible hazards, every stage from generated games to a table and a report. Needs no data.
#   bash runs/household.sh [cpu|gpu] [SEED] [OUT]
# Figures, times and what was learnt from them: RESULTS.md. What the sizes mean: docs/recipes.md.
sizes="cpu gpu"
source "$(dirname "$0")/common.sh"

if [[ $size == cpu ]]; then
  games=4000 rollouts=8000 policy_base=scratch:tiny wm_base=scratch:small wm_epochs=0.25
  epochs=1 plays=2400 states=24000 plays_2=4800 states_2=36000 updates=60
else
  games=20000 rollouts=40000 policy_base=scratch:base wm_base=scratch:base wm_epochs=1
  epochs=2 plays=4800 states=48000 plays_2=9600 states_2=72000 updates=200
fi
family=(--env household --env-option family=irreversible episodes=$rollouts)
look=(--avoid "is gone for good" "breaks for good" "locks for good")
world=(--world-model rules) # the rule-based memory: learned world models of these sizes are not good enough (RESULTS.md)

# 1. Play of an expert who heeds the warnings (for the policy), and noisy play of one who does not (for the world model,
# which has to see what mistakes do).
beside data "$itp" collect "${family[@]}" --epsilon 0 0.3 --episodes $games --max-steps 30 --seed "$seed" \
  --out "$out/data"
"$itp" collect "${family[@]}" --heedless --epsilon 0.4 --episodes $rollouts --max-steps 30 --seed "$seed" \
  --out "$out/rollouts"
await data

# 2. The world model (eq. 1), trained beside 3. the policy: imitation.
beside world_model "$itp" train world-model --data "$out/rollouts" --renderer memory-v1 --base $wm_base \
  --epochs $wm_epochs --batch-size 64 --lr 2e-3 --max-observation-tokens 64 --eval-episodes 4 --seed "$seed" \
  --out "$out/world_model"
"$itp" train policy --data "$out/data" --base $policy_base --lr 3e-3 --epochs $epochs --batch-size 64 --seed "$seed" \
  --out "$out/policy"

# 4. Labels (eq. 5) on the policy's own states, and warm-up (eq. 6). One step ahead is as far as looking pays here. Twice:
# a policy that has been warmed up makes other mistakes, and the second labels are of these. They are more, since a K-head
# finds in new games what it has seen in many, and say nothing of K where looking bars the expert's own action.
own=("${family[@]}" --behaviour policy --epsilon 0 --max-steps 20 --keep-commands "${device[@]}")
label=("${world[@]}" "${look[@]}" --k-max 1 --lambda-k 0.1 --seed "$seed" "${device[@]}")
warm=(--data "$out/data" --k-max 1 --foresight label --replay 0.3 --balance --eta 1 --epochs 2 --batch-size 32 --lr 3e-4)
"$itp" collect "${own[@]}" --episodes $plays --policy "$out/policy/model" --seed $((10 + seed)) --out "$out/play"
"$itp" label --data "$out/play" --policy "$out/policy/model" "${label[@]}" --states $states --out "$out/labels"
await world_model
train warmup --labels "$out/labels" --policy "$out/policy/model" "${warm[@]}" --seed "$seed" --out "$out/warmup"
halves play-2 "${own[@]}" --episodes $plays_2 --policy "$out/warmup/model" --seed $((20 + seed))
label+=(--policy "$out/warmup/model" --states $((states_2 / 2)))
beside labels-2-2 "$itp" label --data "$out/play-2-2" "${label[@]}" --out "$out/labels-2-2"
"$itp" label --data "$out/play-2-1" "${label[@]}" --out "$out/labels-2-1"
await labels-2-2
train warmup --labels "$out"/labels-2-[12] --policy "$out/warmup/model" --drop-barred "${warm[@]}" --seed "$seed" \
  --out "$out/warmup-2"

# 5. A2C (eqs. 7-8): which decisions are worth a look ahead? The world model is frozen.
train a2c "${family[@]}" --policy "$out/warmup-2/model" "${world[@]}" "${look[@]}" --max-steps 30 --envs 32 \
  --rollout 12 --updates $updates --value-warmup 3 --limit loss --irreversible-penalty 0.5 --cost paper --lambda-k 0.01 \
  --temperature 0.5 --beta 0.03 --lr 5e-5 --head-lr 3e-3 --lr-schedule linear --eval-every 20 --eval-episodes 200 \
  --seed "$seed" "${a2c_device[@]}" --out "$out/a2c"

# 6. Where share:S cuts the K-head, and unsure:S the policy's own doubts: in games of `valid`, looking everywhere.
play=(--env household --env-option family=irreversible --episodes 200 --max-steps 30 --batch-size 64 --seed 0)
imagine=(--planner itp "${world[@]}" "${look[@]}")
table=("${play[@]}" --split valid) into=valid
for stage in warmup-2/model a2c/best; do row "${stage%/*}" --policy "$out/$stage" "${imagine[@]}" --horizon fixed:1; done
finish_rows
for stage in warmup-2/model a2c/best; do
  "$itp" policy calibrate --policy "$out/$stage" --data "$out/valid/${stage%/*}" "${device[@]}"
done

# 7. The table, on games that nothing was trained on or chosen by (this recipe was chosen by games of `valid`).
table=("${play[@]}" --split test) into=eval
row act --policy "$out/policy/model" --planner act
row no-repeat --policy "$out/policy/model" --planner no-repeat
row itp-1-exact --policy "$out/warmup/model" --planner itp --world-model exact "${look[@]}" --horizon fixed:1
row itp-1-learned --policy "$out/warmup/model" --planner itp --world-model "$out/world_model/model" "${look[@]}" \
  --horizon fixed:1
for stage in warmup/model warmup-2/model a2c/best; do
  name=${stage%/*} horizons=(learned quantile:0.9 fixed:1)
  row "$name-act" --policy "$out/$stage" --planner act
  if [[ $name != warmup ]]; then
    row "$name-no-repeat" --policy "$out/$stage" --planner no-repeat
    horizons+=(share:0.45 unsure:0.45 sampled random)
  fi
  for horizon in "${horizons[@]}"; do
    row "$name-${horizon/:/-}" --policy "$out/$stage" "${imagine[@]}" --horizon $horizon
  done
done
for k in 2 3; do row "itp-$k" --policy "$out/warmup/model" "${imagine[@]}" --horizon fixed:$k --k-max 3; done
finish_table --against "$out/eval/act"
