# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Values a config.json may leave out: the defaults of the configuration classes of Transformers 5.23, by model_type.

Published configs, nested text parts above all, often hold only what differs from these.
"""

from __future__ import annotations

import json
from typing import Any

_TABLE = """\
apertus hidden_size=4096 intermediate_size=14336 num_hidden_layers=32 num_attention_heads=32 vocab_size=131072
  max_position_embeddings=65536 tie_word_embeddings=false
arcee hidden_size=2560 intermediate_size=18432 num_hidden_layers=32 num_attention_heads=32 vocab_size=32000
  max_position_embeddings=4096 tie_word_embeddings=false
bamba hidden_size=4096 intermediate_size=14336 num_hidden_layers=32 num_attention_heads=32 num_key_value_heads=8
  vocab_size=128000 max_position_embeddings=262144 tie_word_embeddings=false
bert hidden_size=768 intermediate_size=3072 num_hidden_layers=12 num_attention_heads=12 vocab_size=30522
  max_position_embeddings=512 tie_word_embeddings=true
bloom hidden_size=64 num_hidden_layers=2 num_attention_heads=8 vocab_size=250880 tie_word_embeddings=true
cohere hidden_size=8192 intermediate_size=22528 num_hidden_layers=40 num_attention_heads=64 vocab_size=256000
  max_position_embeddings=8192 tie_word_embeddings=true
cohere2 hidden_size=8192 intermediate_size=22528 num_hidden_layers=40 num_attention_heads=64 vocab_size=256000
  max_position_embeddings=8192 sliding_window=4096 tie_word_embeddings=true
deepseek_v2 hidden_size=4096 intermediate_size=11008 num_hidden_layers=32 num_attention_heads=32 vocab_size=102400
  max_position_embeddings=2048 tie_word_embeddings=false moe_intermediate_size=1407 num_experts=64 n_routed_experts=64
  n_shared_experts=2 kv_lora_rank=512 q_lora_rank=1536 qk_rope_head_dim=64 qk_nope_head_dim=128 v_head_dim=128
  first_k_dense_replace=0
deepseek_v3 hidden_size=7168 intermediate_size=18432 num_hidden_layers=61 num_attention_heads=128
  num_key_value_heads=128 vocab_size=129280 max_position_embeddings=4096 tie_word_embeddings=false
  moe_intermediate_size=2048 n_routed_experts=256 num_experts_per_tok=8 n_shared_experts=1 kv_lora_rank=512
  q_lora_rank=1536 qk_rope_head_dim=64 qk_nope_head_dim=128 v_head_dim=128 first_k_dense_replace=3
dots1 hidden_size=4608 intermediate_size=10944 num_hidden_layers=62 num_attention_heads=32 num_key_value_heads=32
  vocab_size=152064 max_position_embeddings=2048 sliding_window=4096 tie_word_embeddings=false
  moe_intermediate_size=1408 first_k_dense_replace=0
ernie4_5 hidden_size=1024 intermediate_size=3072 num_hidden_layers=18 num_attention_heads=16 num_key_value_heads=2
  head_dim=128 vocab_size=103424 max_position_embeddings=131072 tie_word_embeddings=true
ernie4_5_moe hidden_size=2560 intermediate_size=12288 num_hidden_layers=28 num_attention_heads=20
  num_key_value_heads=4 vocab_size=103424 max_position_embeddings=131072 tie_word_embeddings=true
  moe_intermediate_size=1536 num_experts=64 num_experts_per_tok=6
ernie4_5_vl_moe_text hidden_size=2560 intermediate_size=12288 num_hidden_layers=28 num_attention_heads=20
  num_key_value_heads=4 vocab_size=103424 max_position_embeddings=131072 tie_word_embeddings=true num_experts=64
  num_experts_per_tok=6
exaone4 hidden_size=4096 intermediate_size=16384 num_hidden_layers=32 num_attention_heads=32 num_key_value_heads=32
  vocab_size=102400 max_position_embeddings=2048 sliding_window=4096 tie_word_embeddings=false
falcon hidden_size=4544 num_hidden_layers=32 num_attention_heads=71 vocab_size=65024 max_position_embeddings=2048
  tie_word_embeddings=true
falcon_h1 hidden_size=4096 intermediate_size=14336 num_hidden_layers=32 num_attention_heads=32 num_key_value_heads=8
  vocab_size=128000 max_position_embeddings=8192 tie_word_embeddings=false
falcon_mamba hidden_size=768 intermediate_size=1536 num_hidden_layers=32 vocab_size=50280 tie_word_embeddings=true
gemma hidden_size=3072 intermediate_size=24576 num_hidden_layers=28 num_attention_heads=16 num_key_value_heads=16
  head_dim=256 vocab_size=256000 max_position_embeddings=8192 tie_word_embeddings=true
gemma2 hidden_size=2304 intermediate_size=9216 num_hidden_layers=26 num_attention_heads=8 num_key_value_heads=4
  head_dim=256 vocab_size=256000 max_position_embeddings=8192 sliding_window=4096 tie_word_embeddings=true
gemma3 tie_word_embeddings=true
gemma3_text hidden_size=2304 intermediate_size=9216 num_hidden_layers=26 num_attention_heads=8 num_key_value_heads=4
  head_dim=256 vocab_size=262208 max_position_embeddings=131072 sliding_window=4096 tie_word_embeddings=true
gemma3n tie_word_embeddings=true
gemma3n_text hidden_size=2048 intermediate_size=16384 num_hidden_layers=35 num_attention_heads=8 num_key_value_heads=2
  head_dim=256 vocab_size=262400 max_position_embeddings=32768 sliding_window=512 tie_word_embeddings=true
  num_kv_shared_layers=15
gemma4 tie_word_embeddings=true
gemma4_text hidden_size=2304 intermediate_size=9216 num_hidden_layers=30 num_attention_heads=8 num_key_value_heads=4
  head_dim=256 vocab_size=262144 max_position_embeddings=131072 sliding_window=512 tie_word_embeddings=true
  num_kv_shared_layers=0
glm hidden_size=4096 intermediate_size=13696 num_hidden_layers=40 num_attention_heads=32 num_key_value_heads=2
  head_dim=128 vocab_size=151552 max_position_embeddings=131072 tie_word_embeddings=false attention_bias=true
glm4 hidden_size=4096 intermediate_size=13696 num_hidden_layers=40 num_attention_heads=32 num_key_value_heads=2
  head_dim=128 vocab_size=151552 max_position_embeddings=131072 tie_word_embeddings=false attention_bias=true
glm4_moe hidden_size=4096 intermediate_size=10944 num_hidden_layers=46 num_attention_heads=96 num_key_value_heads=8
  vocab_size=151552 max_position_embeddings=131072 tie_word_embeddings=false moe_intermediate_size=1408
  n_routed_experts=128 num_experts_per_tok=8 n_shared_experts=1 first_k_dense_replace=1
glm4_moe_lite hidden_size=2048 intermediate_size=10240 num_hidden_layers=47 num_attention_heads=20
  num_key_value_heads=20 vocab_size=154880 max_position_embeddings=202752 tie_word_embeddings=false
  moe_intermediate_size=1536 n_routed_experts=64 num_experts_per_tok=4 n_shared_experts=1 kv_lora_rank=512
  q_lora_rank=768 qk_rope_head_dim=64 qk_nope_head_dim=192 v_head_dim=256
glm4v_moe_text hidden_size=4096 intermediate_size=10944 num_hidden_layers=46 num_attention_heads=96
  num_key_value_heads=8 vocab_size=151424 max_position_embeddings=65536 tie_word_embeddings=false attention_bias=true
  moe_intermediate_size=1408 n_routed_experts=128 num_experts_per_tok=8 n_shared_experts=1 first_k_dense_replace=1
glm4v_text hidden_size=4096 intermediate_size=13696 num_hidden_layers=40 num_attention_heads=32 num_key_value_heads=2
  vocab_size=151552 max_position_embeddings=32768
gpt2 hidden_size=768 num_hidden_layers=12 num_attention_heads=12 vocab_size=50257 max_position_embeddings=1024
  tie_word_embeddings=true
gpt_bigcode hidden_size=768 num_hidden_layers=12 num_attention_heads=12 num_key_value_heads=1 vocab_size=50257
  max_position_embeddings=1024 tie_word_embeddings=true
gpt_neox hidden_size=6144 intermediate_size=24576 num_hidden_layers=44 num_attention_heads=64 vocab_size=50432
  max_position_embeddings=2048 tie_word_embeddings=false attention_bias=true
gpt_oss hidden_size=2880 intermediate_size=2880 num_hidden_layers=36 num_attention_heads=64 num_key_value_heads=8
  head_dim=64 vocab_size=201088 max_position_embeddings=131072 sliding_window=128 tie_word_embeddings=false
  attention_bias=true num_experts=128 num_experts_per_tok=4
gptj hidden_size=4096 num_hidden_layers=28 num_attention_heads=16 vocab_size=50400 max_position_embeddings=2048
  tie_word_embeddings=false
granite hidden_size=4096 intermediate_size=11008 num_hidden_layers=32 num_attention_heads=32 vocab_size=32000
  max_position_embeddings=2048 tie_word_embeddings=false
granitemoe hidden_size=4096 intermediate_size=11008 num_hidden_layers=32 num_attention_heads=32 vocab_size=32000
  max_position_embeddings=2048 tie_word_embeddings=false num_local_experts=8 num_experts_per_tok=2
granitemoehybrid hidden_size=4096 intermediate_size=11008 num_hidden_layers=32 num_attention_heads=32 vocab_size=32000
  max_position_embeddings=2048 tie_word_embeddings=false num_local_experts=8 num_experts_per_tok=2
granitemoeshared hidden_size=4096 intermediate_size=11008 num_hidden_layers=32 num_attention_heads=32 vocab_size=32000
  max_position_embeddings=2048 tie_word_embeddings=false num_local_experts=8 num_experts_per_tok=2
hunyuan_v1_dense hidden_size=4096 intermediate_size=11008 num_hidden_layers=32 num_attention_heads=32
  vocab_size=290943 max_position_embeddings=2048 tie_word_embeddings=false
hunyuan_v1_moe hidden_size=4096 intermediate_size=11008 num_hidden_layers=32 num_attention_heads=32 vocab_size=290943
  max_position_embeddings=2048 tie_word_embeddings=false num_experts=1 num_experts_per_tok=1
internvl tie_word_embeddings=true
jamba hidden_size=4096 intermediate_size=14336 num_hidden_layers=32 num_attention_heads=32 num_key_value_heads=8
  vocab_size=65536 max_position_embeddings=262144 tie_word_embeddings=false num_experts=16 num_experts_per_tok=2
kimi_linear hidden_size=2304 intermediate_size=9216 num_hidden_layers=27 num_attention_heads=32 num_key_value_heads=32
  vocab_size=163840 max_position_embeddings=1048576 tie_word_embeddings=false moe_intermediate_size=1024
  num_experts=256 num_experts_per_tok=8 n_shared_experts=1 kv_lora_rank=512 qk_rope_head_dim=64 qk_nope_head_dim=128
  v_head_dim=128 linear_conv_kernel_dim=4
lfm2 hidden_size=2560 intermediate_size=12288 num_hidden_layers=32 num_attention_heads=32 num_key_value_heads=8
  vocab_size=65536 max_position_embeddings=128000 tie_word_embeddings=true
lfm2_moe hidden_size=2048 intermediate_size=7168 num_hidden_layers=32 num_attention_heads=32 num_key_value_heads=8
  vocab_size=65536 max_position_embeddings=128000 tie_word_embeddings=true moe_intermediate_size=1792 num_experts=32
  num_experts_per_tok=4
llama hidden_size=4096 intermediate_size=11008 num_hidden_layers=32 num_attention_heads=32 vocab_size=32000
  max_position_embeddings=2048 tie_word_embeddings=false
llama4 tie_word_embeddings=false
llama4_text hidden_size=5120 intermediate_size=8192 num_hidden_layers=48 num_attention_heads=40 num_key_value_heads=8
  head_dim=128 vocab_size=202048 max_position_embeddings=131072 tie_word_embeddings=false num_local_experts=16
  num_experts_per_tok=1 attention_chunk_size=8192 interleave_moe_layer_step=1
llava tie_word_embeddings=false
llava_next tie_word_embeddings=false
mamba hidden_size=768 intermediate_size=1536 num_hidden_layers=32 vocab_size=50280 tie_word_embeddings=true
mamba2 hidden_size=4096 num_hidden_layers=64 head_dim=64 vocab_size=32768 tie_word_embeddings=false
minimax hidden_size=4096 intermediate_size=14336 num_hidden_layers=32 num_attention_heads=32 num_key_value_heads=8
  vocab_size=32000 max_position_embeddings=131072 tie_word_embeddings=false num_experts=8 num_experts_per_tok=2
minimax_m2 hidden_size=3072 intermediate_size=1536 num_hidden_layers=62 num_attention_heads=48 num_key_value_heads=8
  head_dim=128 vocab_size=200064 max_position_embeddings=196608 tie_word_embeddings=false num_experts=256
  num_experts_per_tok=8
ministral hidden_size=4096 intermediate_size=14336 num_hidden_layers=32 num_attention_heads=32 num_key_value_heads=8
  vocab_size=32000 max_position_embeddings=131072 sliding_window=4096 tie_word_embeddings=false
ministral3 hidden_size=4096 intermediate_size=14336 num_hidden_layers=34 num_attention_heads=32 num_key_value_heads=8
  head_dim=128 vocab_size=131072 max_position_embeddings=262144 tie_word_embeddings=false
minicpm tie_word_embeddings=true
minicpm3 tie_word_embeddings=true
mistral hidden_size=4096 intermediate_size=14336 num_hidden_layers=32 num_attention_heads=32 num_key_value_heads=8
  vocab_size=32000 max_position_embeddings=131072 sliding_window=4096 tie_word_embeddings=false
mistral3 tie_word_embeddings=true
mistral4 hidden_size=4096 intermediate_size=12288 num_hidden_layers=36 num_attention_heads=32 num_key_value_heads=32
  vocab_size=131072 max_position_embeddings=1048576 tie_word_embeddings=false moe_intermediate_size=2048
  n_routed_experts=128 num_experts_per_tok=4 n_shared_experts=1 kv_lora_rank=256 q_lora_rank=1024 qk_rope_head_dim=64
  qk_nope_head_dim=64 v_head_dim=128 first_k_dense_replace=0
mixtral hidden_size=4096 intermediate_size=14336 num_hidden_layers=32 num_attention_heads=32 num_key_value_heads=8
  vocab_size=32000 max_position_embeddings=131072 tie_word_embeddings=false num_experts=8 num_experts_per_tok=2
modernbert hidden_size=768 intermediate_size=1152 num_hidden_layers=22 num_attention_heads=12 vocab_size=50368
  max_position_embeddings=8192 sliding_window=64 tie_word_embeddings=true
mpt hidden_size=2048 num_hidden_layers=24 num_attention_heads=16 vocab_size=50368 tie_word_embeddings=true
nemotron hidden_size=6144 intermediate_size=24576 num_hidden_layers=32 num_attention_heads=48 vocab_size=256000
  max_position_embeddings=4096 tie_word_embeddings=false
nemotron_h hidden_size=4096 intermediate_size=21504 num_hidden_layers=4 num_attention_heads=32 num_key_value_heads=8
  head_dim=128 vocab_size=131072 max_position_embeddings=4096 tie_word_embeddings=false moe_intermediate_size=7688
  n_routed_experts=8 num_experts_per_tok=2 n_shared_experts=1
nomic_bert hidden_size=768 intermediate_size=3072 num_hidden_layers=12 num_attention_heads=12 vocab_size=30528
  max_position_embeddings=2048 tie_word_embeddings=true
olmo hidden_size=4096 intermediate_size=11008 num_hidden_layers=32 num_attention_heads=32 vocab_size=50304
  max_position_embeddings=2048 tie_word_embeddings=false
olmo2 hidden_size=4096 intermediate_size=11008 num_hidden_layers=32 num_attention_heads=32 vocab_size=50304
  max_position_embeddings=2048 tie_word_embeddings=false
olmo3 hidden_size=4096 intermediate_size=11008 num_hidden_layers=32 num_attention_heads=32 vocab_size=50304
  max_position_embeddings=2048 sliding_window=4096 tie_word_embeddings=false
olmoe hidden_size=2048 intermediate_size=2048 num_hidden_layers=16 num_attention_heads=16 vocab_size=50304
  max_position_embeddings=4096 tie_word_embeddings=false num_experts=64 num_experts_per_tok=8
opt hidden_size=768 num_hidden_layers=12 num_attention_heads=12 vocab_size=50272 max_position_embeddings=2048
  tie_word_embeddings=true
paligemma hidden_size=2048 vocab_size=257152 tie_word_embeddings=true
phi hidden_size=2048 intermediate_size=8192 num_hidden_layers=24 num_attention_heads=32 vocab_size=51200
  max_position_embeddings=2048 tie_word_embeddings=false
phi3 hidden_size=3072 intermediate_size=8192 num_hidden_layers=32 num_attention_heads=32 vocab_size=32064
  max_position_embeddings=4096 tie_word_embeddings=false
phimoe hidden_size=4096 intermediate_size=6400 num_hidden_layers=32 num_attention_heads=32 num_key_value_heads=8
  vocab_size=32064 max_position_embeddings=131072 tie_word_embeddings=false num_local_experts=16 num_experts_per_tok=2
qwen2 hidden_size=4096 intermediate_size=22016 num_hidden_layers=32 num_attention_heads=32 num_key_value_heads=32
  vocab_size=151936 max_position_embeddings=32768 tie_word_embeddings=false
qwen2_5_omni_text hidden_size=3584 intermediate_size=18944 num_hidden_layers=28 num_attention_heads=28
  num_key_value_heads=4 vocab_size=152064 max_position_embeddings=32768 tie_word_embeddings=true
qwen2_5_vl tie_word_embeddings=false
qwen2_5_vl_text hidden_size=8192 intermediate_size=29568 num_hidden_layers=80 num_attention_heads=64
  num_key_value_heads=8 vocab_size=152064 max_position_embeddings=32768
qwen2_moe hidden_size=2048 intermediate_size=5632 num_hidden_layers=24 num_attention_heads=16 num_key_value_heads=16
  vocab_size=151936 max_position_embeddings=32768 sliding_window=0 tie_word_embeddings=false
  moe_intermediate_size=1408 num_experts=60 num_experts_per_tok=4 shared_expert_intermediate_size=5632
qwen2_vl tie_word_embeddings=false
qwen2_vl_text hidden_size=8192 intermediate_size=29568 num_hidden_layers=80 num_attention_heads=64
  num_key_value_heads=8 vocab_size=152064 max_position_embeddings=32768
qwen3 hidden_size=4096 intermediate_size=22016 num_hidden_layers=32 num_attention_heads=32 num_key_value_heads=32
  head_dim=128 vocab_size=151936 max_position_embeddings=32768 tie_word_embeddings=false
qwen3_5 tie_word_embeddings=false
qwen3_5_moe_text hidden_size=2048 num_hidden_layers=40 num_attention_heads=16 num_key_value_heads=2 head_dim=256
  vocab_size=248320 max_position_embeddings=32768 tie_word_embeddings=false moe_intermediate_size=512 num_experts=256
  num_experts_per_tok=8 shared_expert_intermediate_size=512 linear_num_key_heads=16 linear_num_value_heads=32
  linear_key_head_dim=128 linear_value_head_dim=128 linear_conv_kernel_dim=4
qwen3_5_text hidden_size=4096 intermediate_size=12288 num_hidden_layers=32 num_attention_heads=16
  num_key_value_heads=4 head_dim=256 vocab_size=248320 max_position_embeddings=32768 tie_word_embeddings=false
  linear_num_key_heads=16 linear_num_value_heads=32 linear_key_head_dim=128 linear_value_head_dim=128
  linear_conv_kernel_dim=4
qwen3_moe hidden_size=2048 intermediate_size=6144 num_hidden_layers=24 num_attention_heads=32 num_key_value_heads=4
  vocab_size=151936 max_position_embeddings=32768 tie_word_embeddings=false moe_intermediate_size=768 num_experts=128
  num_experts_per_tok=8
qwen3_next hidden_size=2048 intermediate_size=5632 num_hidden_layers=48 num_attention_heads=16 num_key_value_heads=2
  head_dim=256 vocab_size=151936 max_position_embeddings=32768 tie_word_embeddings=false moe_intermediate_size=512
  num_experts=512 num_experts_per_tok=10 shared_expert_intermediate_size=512 linear_num_key_heads=16
  linear_num_value_heads=32 linear_key_head_dim=128 linear_value_head_dim=128 linear_conv_kernel_dim=4
qwen3_omni_moe_text hidden_size=2048 intermediate_size=18944 num_hidden_layers=28 num_attention_heads=28
  num_key_value_heads=4 vocab_size=3584 max_position_embeddings=32768 moe_intermediate_size=768 num_experts=128
  num_experts_per_tok=8
qwen3_vl tie_word_embeddings=false
qwen3_vl_moe tie_word_embeddings=false
qwen3_vl_moe_text hidden_size=2048 intermediate_size=5632 num_hidden_layers=24 num_attention_heads=16
  num_key_value_heads=16 vocab_size=151936 max_position_embeddings=128000 tie_word_embeddings=true
  moe_intermediate_size=1408 num_experts=60 num_experts_per_tok=4
qwen3_vl_text hidden_size=4096 intermediate_size=22016 num_hidden_layers=32 num_attention_heads=32
  num_key_value_heads=32 head_dim=128 vocab_size=151936 max_position_embeddings=128000
roberta hidden_size=768 intermediate_size=3072 num_hidden_layers=12 num_attention_heads=12 vocab_size=50265
  max_position_embeddings=512 tie_word_embeddings=true
seed_oss hidden_size=4096 intermediate_size=27648 num_hidden_layers=64 num_attention_heads=80 num_key_value_heads=8
  head_dim=128 vocab_size=155136 max_position_embeddings=524288 tie_word_embeddings=false attention_bias=true
smollm3 hidden_size=2048 intermediate_size=11008 num_hidden_layers=36 num_attention_heads=16 num_key_value_heads=4
  vocab_size=128256 max_position_embeddings=32768 tie_word_embeddings=true
stablelm hidden_size=2560 intermediate_size=6912 num_hidden_layers=32 num_attention_heads=32 num_key_value_heads=32
  vocab_size=50304 max_position_embeddings=4096 tie_word_embeddings=false
starcoder2 hidden_size=3072 intermediate_size=12288 num_hidden_layers=30 num_attention_heads=24 num_key_value_heads=2
  vocab_size=49152 max_position_embeddings=4096 tie_word_embeddings=true
xlm-roberta hidden_size=768 intermediate_size=3072 num_hidden_layers=12 num_attention_heads=12 vocab_size=30522
  max_position_embeddings=512 tie_word_embeddings=true
zamba2 hidden_size=2560 intermediate_size=10240 num_hidden_layers=54 num_attention_heads=32 vocab_size=32000
  max_position_embeddings=4096 tie_word_embeddings=true
"""


def _parse(table: str) -> dict[str, dict[str, Any]]:
    out: dict[str, dict[str, Any]] = {}
    for line in table.replace("\n  ", " ").splitlines():
        name, *pairs = line.split()
        out[name] = {key: json.loads(value) for key, value in (pair.split("=", 1) for pair in pairs)}
    return out


DEFAULTS = _parse(_TABLE)
