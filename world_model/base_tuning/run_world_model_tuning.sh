#!/usr/bin/env bash
# The authors' world-model training, over `itp data convert` and `itp train world-model`. Leaves OUTPUT_DIR/merged_full.
#
#   MODEL_PATH=path/to/base_lm DATA_PATH=wm_train.jsonl OUTPUT_DIR=outputs/wm_run \
#     DS_CONFIG=deepspeed.json bash world_model/base_tuning/run_world_model_tuning.sh
#
# MODEL_PATH   model to start from: a folder, a Hugging Face id, or scratch:tiny|small|base for a new one (no LoRA then)
# DATA_PATH    world-model rows, expert rows, ETO conversations or our trajectories; several with spaces between
# OUTPUT_DIR   run folder; the same command again resumes. The converted data stay in OUTPUT_DIR.data
# DS_CONFIG    DeepSpeed JSON; used where deepspeed is installed, else plain training after a note
# Optional, with the paper's values: EPOCHS=3 BATCH_SIZE=16 GRAD_ACC=16 LR=2e-5 CUTOFF_LEN=2048 HELD_OUT=0.05 BF16=true
# FP16=false LORA_R=8 LORA_ALPHA=16 LORA_DROPOUT=0.05, and PYTHON. Further words go to `itp train world-model`.
set -euo pipefail

fail() {
  echo "itp: error: $*" >&2
  exit 2
}
[[ -n ${MODEL_PATH:-} ]] || fail "MODEL_PATH is not set: name the model to start from"
[[ -n ${DATA_PATH:-} ]] || fail "DATA_PATH is not set: name the world-model data"
[[ -n ${OUTPUT_DIR:-} ]] || fail "OUTPUT_DIR is not set: name the folder to write"
out=${OUTPUT_DIR%/}
epochs=${EPOCHS:-3} batch=${BATCH_SIZE:-16} accumulation=${GRAD_ACC:-16} cutoff=${CUTOFF_LEN:-2048}
lora_r=${LORA_R:-8}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
python=${PYTHON:-}
if [[ -z $python ]]; then
  python=$here/.venv/bin/python
  [[ -x $python ]] || python=python
fi

precision=(--bf16)
[[ ${BF16:-true} == true ]] || precision=(--no-bf16)
[[ ${FP16:-false} == true ]] && precision=(--fp16)
if [[ $MODEL_PATH == scratch:* && $lora_r != 0 ]]; then
  echo "note: MODEL_PATH=$MODEL_PATH has no trained weights to adapt: training all of them, without LoRA" >&2
  lora_r=0
fi

launch=("$python" -m itp.cli)
if [[ -n ${DS_CONFIG:-} ]]; then
  [[ -f $DS_CONFIG ]] || fail "DS_CONFIG $DS_CONFIG does not exist: name a DeepSpeed JSON file, or leave it unset"
  if "$python" -c 'import deepspeed' 2>/dev/null; then
    launch=("$python" -m accelerate.commands.launch --use_deepspeed --deepspeed_config_file "$DS_CONFIG" -m itp.cli)
  else
    echo "note: deepspeed is not installed, so DS_CONFIG=$DS_CONFIG is not used: plain training" >&2
  fi
fi

read -ra files <<<"$DATA_PATH"
"$python" -m itp.cli data convert --input "${files[@]}" --out "$out.data"
# The state gets what the action and the predicted observation (192 tokens in the paper) leave of CUTOFF_LEN.
"${launch[@]}" train world-model --data "$out.data" --base "$MODEL_PATH" --out "$out" \
  --epochs "$epochs" --batch-size "$batch" --accumulation "$accumulation" --lr "${LR:-2e-5}" \
  --max-state-tokens "$((cutoff - 224))" --held-out "${HELD_OUT:-0.05}" "${precision[@]}" \
  --lora-r "$lora_r" --lora-alpha "${LORA_ALPHA:-16}" --lora-dropout "${LORA_DROPOUT:-0.05}" "$@"
[[ -e $out/merged_full ]] || ln -s model "$out/merged_full"
echo "world model: $out/merged_full"
