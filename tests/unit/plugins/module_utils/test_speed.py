# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the roofline behaves; what it says of measured and published cases is in test_speed_truth.py."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils._cards import CardData, card_data
from ansible_collections.gpuserve.inference.plugins.module_utils._speed import (
    SpeedPrediction,
    engine_of,
    predict_replicas,
    predict_speed,
    tpot_ms,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._speed_links import LINKS, all_reduce_ms
from ansible_collections.gpuserve.inference.plugins.module_utils._speed_work import model_work, tflops
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.speed_cases import (
    MODELS,
    Tokens,
    fixture_model,
)

H200, L4, A100 = "NVIDIA H200", "NVIDIA L4", "NVIDIA A100-SXM4-80GB"
CHAT: dict[str, Any] = {"link": "nvlink", "concurrency": 8, "input_tokens": 512, "output_tokens": 128}


def card(name: str) -> CardData:
    data = card_data(name)
    assert data is not None
    return data


def predict(model: str = "llama-3.1-8b", name: str = H200, tp: int = 1, **given: Any) -> SpeedPrediction:
    got = predict_speed(fixture_model(model), name, tp, **{**CHAT, **given})
    assert got.requests_per_s is not None
    return got


def test_the_parts_add_up() -> None:
    got = predict(concurrency=8)
    assert got.output_tokens_per_s == pytest.approx(got.requests_per_s * 128)
    assert got.e2e_ms == pytest.approx(got.ttft_ms + 127 * got.tpot_ms)
    assert got.e2e_ms == pytest.approx(8 / got.requests_per_s * 1000)
    assert (got.concurrency, got.queued) == (8, 0)


def test_one_stream_by_hand() -> None:
    """15.01 GB of weights (all but the embedding table) and 576 tokens of 131,072 bytes at 0.8 x 4800 GB/s."""
    read = (16.06e9 - 1.05e9 + 576 * 131072) / (0.8 * 4800e6)
    assert predict(concurrency=1).tpot_ms == pytest.approx(read + 0.3 + 32 * 0.019 + 0.01, rel=0.01)


@pytest.mark.parametrize("model", ["llama-3.1-8b", "qwen3-30b-a3b", "deepseek-v2-lite", "gemma-3-27b", "falcon-h1-7b"])
@pytest.mark.parametrize("tp", [1, 2])
def test_more_requests_more_throughput_slower_tokens(model: str, tp: int) -> None:
    loads = [predict(model, tp=tp, concurrency=c, max_num_seqs=1024) for c in (1, 4, 16, 64, 256)]
    for less, more in zip(loads, loads[1:]):
        assert more.output_tokens_per_s > less.output_tokens_per_s
        assert more.tpot_ms > less.tpot_ms
        assert more.ttft_ms >= less.ttft_ms


def test_max_num_seqs_makes_requests_queue() -> None:
    free, tight = predict(concurrency=64, max_num_seqs=64), predict(concurrency=64, max_num_seqs=16)
    assert (tight.concurrency, tight.queued) == (16, 48)
    assert tight.output_tokens_per_s < free.output_tokens_per_s
    assert tight.tpot_ms < free.tpot_ms
    assert tight.ttft_ms > 5 * free.ttft_ms  # the wait for a seat
    assert tight.e2e_ms == pytest.approx(64 / tight.requests_per_s * 1000)


def test_the_kv_cache_bounds_what_runs() -> None:
    plan = Tokens(131072)
    held = predict(concurrency=32, kv_plan=plan, kv_bytes=131072 * 640 * 4)
    assert held.concurrency == pytest.approx(4)
    assert held.queued == pytest.approx(28)
    assert held.output_tokens_per_s == pytest.approx(predict(concurrency=4).output_tokens_per_s)
    # one request always runs: whether it fits is not this module's question
    assert predict(concurrency=3, kv_plan=plan, kv_bytes=1).concurrency == 1


def test_an_unknown_card_has_no_figures() -> None:
    got = predict_speed(fixture_model("llama-3.1-8b"), "NVIDIA RTX 5000 Ada Generation", 1, **CHAT)
    assert got == SpeedPrediction(concurrency=8)
    assert got.e2e_ms is None
    both = predict_replicas(fixture_model("llama-3.1-8b"), "NVIDIA X", 1, 2, **CHAT)
    assert both.tpot_ms is None and both.output_tokens_per_s is None and both.concurrency == 8
    assert tpot_ms(fixture_model("llama-3.1-8b"), "NVIDIA X", 1, True) is None


def test_an_estimated_card_says_so() -> None:
    made = replace(card(L4), estimated=True)
    got = predict_speed(fixture_model("llama-3.1-8b"), made, 1, **CHAT)
    assert got.estimated_card
    assert got.tpot_ms == pytest.approx(predict(name=L4).tpot_ms)


# ---------------------------------------------------------------- replicas


def test_replicas_share_the_load() -> None:
    model = fixture_model("llama-3.1-8b")
    given = {k: v for k, v in CHAT.items() if k != "concurrency"}
    one = predict(concurrency=8)
    both = predict_replicas(model, H200, 1, 2, concurrency=16, **given)
    assert both.output_tokens_per_s == pytest.approx(2 * one.output_tokens_per_s)
    assert (both.tpot_ms, both.ttft_ms) == (pytest.approx(one.tpot_ms), pytest.approx(one.ttft_ms))
    alone = predict_replicas(model, H200, 1, 2, concurrency=1, **given)  # the other replica idles
    assert alone.output_tokens_per_s == pytest.approx(predict(concurrency=1).output_tokens_per_s)
    odd = predict_replicas(model, H200, 1, 2, concurrency=3, **given)
    two = predict(concurrency=2)
    assert odd.requests_per_s == pytest.approx(two.requests_per_s + predict(concurrency=1).requests_per_s)
    assert predict(concurrency=1).tpot_ms < odd.tpot_ms < two.tpot_ms
    assert odd.e2e_ms == pytest.approx(odd.ttft_ms + 127 * odd.tpot_ms, rel=0.01)


def test_an_idle_replica_neither_helps_nor_harms() -> None:
    model = fixture_model("llama-3.1-8b")
    given = {k: v for k, v in CHAT.items() if k != "concurrency"}
    four, eight = (predict_replicas(model, H200, 1, n, concurrency=4, **given) for n in (4, 8))
    assert four.output_tokens_per_s == pytest.approx(eight.output_tokens_per_s)


# ---------------------------------------------------------------- links


@pytest.mark.parametrize("size", [8192, 65536, 1 << 20, 64 << 20])
def test_all_reduces_by_link(size: int) -> None:
    h200 = card(H200)
    costs = [all_reduce_ms(link, h200, 2, size) for link in LINKS]
    assert costs == sorted(costs)
    assert all(all_reduce_ms(link, h200, 1, size) == 0 for link in LINKS)
    assert all(all_reduce_ms(link, h200, 8, size) > all_reduce_ms(link, h200, 2, size) for link in LINKS)


def test_a_narrow_slot_costs() -> None:
    pro = card("NVIDIA RTX PRO 6000 Blackwell Server Edition")
    wide = all_reduce_ms("pcie", pro, 2, 1 << 24)
    assert all_reduce_ms("pcie", pro, 2, 1 << 24, 15.75) > 3.5 * wide
    # NVLink does not care about the slot; a card without any goes over PCIe
    h200 = card(H200)
    assert all_reduce_ms("nvlink", h200, 2, 1 << 24, 1.0) == all_reduce_ms("nvlink", h200, 2, 1 << 24)
    assert all_reduce_ms("nvlink", pro, 2, 1 << 24) == all_reduce_ms("pcie_p2p", pro, 2, 1 << 24)


def test_the_prompt_is_what_pcie_slows() -> None:
    """Tensor parallel over PCIe still speeds up one stream's tokens, but not a long prompt."""
    name = "NVIDIA GeForce RTX 4090"
    one = predict(name=name, concurrency=1, input_tokens=8000)
    two = predict(name=name, tp=2, link="pcie", concurrency=1, input_tokens=8000)
    assert two.tpot_ms < 0.75 * one.tpot_ms
    assert two.ttft_ms > 0.9 * one.ttft_ms


def test_an_unknown_link_counts_as_the_slowest() -> None:
    assert predict(tp=2, link="") == predict(tp=2, link="pcie")


# ---------------------------------------------------------------- models


def test_experts_touched_grow_with_the_batch() -> None:
    work = model_work(fixture_model("qwen3-30b-a3b"))
    one, many, all_of_them = work.weight_bytes(1), work.weight_bytes(64), work.weight_bytes(10**6)
    assert one == pytest.approx(work.dense_bytes + work.expert_bytes * 8 / 128)
    assert one < many < all_of_them
    assert all_of_them == pytest.approx(work.dense_bytes + work.expert_bytes)
    assert work.dense_params + work.expert_params + work.head_params == pytest.approx(
        3.0e9, rel=0.05
    )  # "A3B", without the embedding table


@pytest.mark.parametrize(
    ("model", "layers"), [("llama-3.1-8b", 0), ("qwen3-30b-a3b", 48), ("deepseek-v3", 58), ("gpt-oss-120b", 36)]
)
def test_layers_with_experts(model: str, layers: int) -> None:
    assert model_work(fixture_model(model)).moe_layers == layers


@pytest.mark.parametrize(
    ("model", "params"),
    [
        ("llama-3.1-8b", 7.5e9),
        ("llama-3.1-8b-fp8", 7.5e9),
        ("llama-3.1-8b-awq", 7.5e9),
        ("llama-3.1-8b-gptq", 7.5e9),
        ("gemma-2-9b", 9.24e9),  # tied: the table is the head
        ("gpt-oss-120b", 5.1e9),
        ("gpt-oss-20b", 3.6e9),
        ("deepseek-v3", 36.6e9),  # 37.6
        ("qwen3-235b-a22b", 21.5e9),  # 22
        ("gemma-3-27b", 27.0e9),  # without the vision tower
        ("mixtral-8x7b", 12.7e9),  # 12.9
    ],
)
def test_parameters_a_token_passes(model: str, params: float) -> None:
    work = model_work(fixture_model(model))
    assert work.dense_params + work.expert_params + work.head_params == pytest.approx(params, rel=0.03)


def test_context_kinds() -> None:
    full = model_work(fixture_model("llama-3.1-8b"))
    assert full.kv_bytes(1000, 1) == 1000 * 131072
    assert full.kv_bytes(1000, 2) == 500 * 131072
    assert full.kv_bytes(1000, 16) == 125 * 131072  # eight KV heads: copies beyond eight ranks
    sliding = model_work(fixture_model("mistral-7b-v0.1"))  # every layer looks back 4096
    assert sliding.kv_bytes(4096, 1) == sliding.kv_bytes(40960, 1) > 0
    mixed = model_work(fixture_model("gemma-3-27b"))
    assert mixed.kv_bytes(40960, 1) < 5 * mixed.kv_bytes(4096, 1)  # 10 of 62 layers look back further than 1024
    latent = model_work(fixture_model("deepseek-v2-lite"))
    assert latent.kv_bytes(1000, 1) == latent.kv_bytes(1000, 8) == 1000 * 27 * 576 * 2
    state = model_work(fixture_model("mamba-2.8b"))
    assert state.kv_bytes(100, 1) == state.kv_bytes(10**5, 1) == 2 * state.kv_bytes(100, 2) > 0
    assert model_work(fixture_model("llama-3.1-8b"), 1).kv_bytes(1000, 1) == 1000 * 65536  # FP8 cache


@pytest.mark.parametrize(
    ("model", "name", "rate"),
    [
        ("llama-3.1-8b", H200, 989.5),
        ("llama-3.1-8b-fp8", H200, 1979),
        ("llama-3.1-8b-fp8", A100, 312),  # no FP8 units: widened
        ("llama-3.1-8b-awq", H200, 989.5),  # only the weights are small
        ("llama-3.1-8b-gptq", H200, 989.5),
        ("deepseek-v3", H200, 1979),
        ("gpt-oss-120b", H200, 989.5),
    ],
)
def test_units_by_quantization(model: str, name: str, rate: float) -> None:
    assert tflops(fixture_model(model), card(name)) == rate


@pytest.mark.parametrize(
    ("inputs", "rate"), [({"num_bits": 8, "type": "int"}, 624), ({"num_bits": 8}, 312), (None, 312), ("junk", 312)]
)
def test_units_by_activations(inputs: Any, rate: float) -> None:
    config = {"quant_method": "compressed-tensors", "config_groups": {"group_0": {"input_activations": inputs}}}
    model = replace(fixture_model("llama-3.1-8b"), quantization="compressed-tensors", quantization_config=config)
    assert tflops(model, card(A100)) == rate


def test_activations_are_quantized_only_where_units_multiply_them() -> None:
    """An A100 widens FP8 weights: no time goes into the inputs, and none is won in the arithmetic."""
    fp8, bf16 = ("llama-3.1-8b-fp8", "llama-3.1-8b")
    extra = engine_of(fixture_model(fp8), card(H200), 1, "nvlink").fixed_ms
    assert extra == pytest.approx(engine_of(fixture_model(bf16), card(H200), 1, "nvlink").fixed_ms + 32 * 0.03)
    plain = engine_of(fixture_model(fp8), card(A100), 1, "nvlink")
    assert plain.fixed_ms == engine_of(fixture_model(bf16), card(A100), 1, "nvlink").fixed_ms
    assert plain.prefill_ms(512) == pytest.approx(
        engine_of(fixture_model(bf16), card(A100), 1, "nvlink").prefill_ms(512), rel=0.03
    )


def test_smaller_weights_are_faster() -> None:
    times = [predict(f"llama-3.1-8b{kind}", concurrency=1).tpot_ms for kind in ("-awq", "-fp8", "")]
    assert times == sorted(times)
    assert times[0] < 0.5 * times[2]


@pytest.mark.parametrize(
    "model",
    ["llama-3.1-8b", "qwen3-30b-a3b", "gpt-oss-20b", "deepseek-v3", "llama-3.1-8b-awq", "gemma-2-9b", "qwen2.5-vl-7b"],
)
def test_without_tensor_sizes_the_figures_stay_near(model: str) -> None:
    """An index gives only the sum of the sizes."""
    known = fixture_model(model)
    bare = replace(known, weight_groups={})
    for load in (1, 64):
        given = {**CHAT, "concurrency": load}
        with_groups, without = predict_speed(known, H200, 1, **given), predict_speed(bare, H200, 1, **given)
        assert without.tpot_ms == pytest.approx(with_groups.tpot_ms, rel=0.15)


def test_prompts_only() -> None:
    """Embedding models and prefill: no tokens come out, requests are still answered."""
    got = predict("bge-base-en", output_tokens=0)
    assert got.tpot_ms is None and got.output_tokens_per_s is None
    assert got.requests_per_s > 0 and got.ttft_ms > 0
    assert predict(output_tokens=1).tpot_ms is None


def test_long_prompts_are_chunked() -> None:
    whole = predict(concurrency=1, input_tokens=64000, max_num_batched_tokens=65536)
    chunked = predict(concurrency=1, input_tokens=64000, max_num_batched_tokens=2048)
    assert chunked.ttft_ms > whole.ttft_ms
    assert chunked.ttft_ms < 1.1 * whole.ttft_ms


def test_every_fixture_has_figures() -> None:
    names = sorted(p.name for p in MODELS.iterdir())
    assert len(names) > 50
    for name in names:
        for tp in (1, 8):
            got = predict(name, tp=tp)
            assert 0 < got.requests_per_s < 10**5, name
            assert 0 < got.ttft_ms < 10**5 and 0 < got.tpot_ms < 10**4, name


@pytest.mark.parametrize("nvlink", [True, False])
def test_tpot_alone(nvlink: bool) -> None:
    model = fixture_model("llama-3.1-8b")
    assert tpot_ms(model, H200, 1, nvlink) == pytest.approx(4.85, abs=0.1)
    assert tpot_ms(model, H200, 2, True) < tpot_ms(model, H200, 2, False)
