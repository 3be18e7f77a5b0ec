"""The neuron explorer as one file that needs no server: both models run in it, their statistics beside them.

What a reader sees is drawn by the scripts under `explorer/`; this file gathers what they draw from a lab, and
puts all of it into one page. The base model's weights go in as fp16, with what that leaves over if anything,
the aligned model's as what tuning added to them, scaled up: it moves them by less than fp16 tells apart.
"""

from __future__ import annotations

import base64
import json
import sys
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from helpers.artifacts import write_whole
from helpers.course.pages import EXPLORER
from helpers.lab import Lab
from helpers.lab.policies import Chosen
from helpers.language.models import LanguageModel
from helpers.language.words import ENCODED, toxic_patterns
from helpers.mechanism.attribution import GROUPS
from helpers.mechanism.statistics import BINS, LOWEST, WIDTH, Statistics
from helpers.mechanism.vectors import cosines, project_to_vocabulary, svd_directions, top_neurons, vectors_of
from helpers.profiles import ProfileError
from helpers.teaching.explorer.trials import most_changed, spread

HERE = Path(__file__).parent / "explorer"
LARGEST = 5_000_000
"""Parameters of a model that still goes into a page; base's and aligned's take six bytes of text each."""
WORDS = 10
NEAREST = 8
POLICY: Chosen = "matched"
DELTA_SCALE = 4096.0
"""What tuning adds to a weight is multiplied by this before it becomes fp16, coarse near 0."""
NORMALISERS = ("NFKD", "StripAccents", "Replace")


class NoPage(RuntimeError):
    """Why there is no explorer for this model, as a sentence for the reader."""


# --- what the page is made of -----------------------------------------------------------------------------
@dataclass(frozen=True)
class Packed:
    """Arrays in one run of bytes, and where each begins: `{name: [type, shape, offset]}`."""

    index: dict[str, tuple[str, list[int], int]]
    data: bytes

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> Packed:
        """Little-endian, each at a multiple of eight bytes, as typed arrays of a browser want it."""
        index, parts, at = {}, [], 0
        for name, array in arrays.items():
            plain = np.ascontiguousarray(array)
            plain = plain.astype(plain.dtype.newbyteorder("<"))
            index[name] = (plain.dtype.name, list(plain.shape), at)
            raw = plain.tobytes()
            raw += bytes(-len(raw) % 8)
            parts.append(raw)
            at += len(raw)
        return cls(index, b"".join(parts))


def weights_of(model: LanguageModel) -> dict[str, Tensor]:
    """A GPT-2's parameters by the names of its checkpoint."""
    held = model.bridge.original_model.state_dict()  # type: ignore[union-attr, operator]
    plain = {name.replace("_original_component.", ""): value for name, value in held.items()}
    names = ["wte.weight", "wpe.weight", "ln_f.weight", "ln_f.bias"]
    for layer in range(model.n_layers):
        for part in ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj"):
            names += [f"h.{layer}.{part}.weight", f"h.{layer}.{part}.bias"]
    return {name: plain[f"transformer.{name}"].detach().float().cpu() for name in names}


def pack_weights(base: LanguageModel, aligned: LanguageModel) -> Packed:
    """Both models' weights; matrices as (out, in), so that one output is one run of numbers."""
    arrays: dict[str, np.ndarray] = {}
    after = weights_of(aligned)
    for name, before in weights_of(base).items():
        kept = before.half()
        added = ((after[name] - kept.float()) * DELTA_SCALE).half()
        rest = ((before - kept.float()) * DELTA_SCALE).half()
        if not (kept.isfinite().all() and added.isfinite().all()):
            raise NoPage(f"{name} holds numbers beyond the range of fp16, in which a page keeps its weights")
        parts = {"base": kept, "added": added} | ({"rest": rest} if rest.any() else {})
        for prefix, one in parts.items():
            turned = rearrange(one, "i o -> o i") if ".c_" in name and one.ndim == 2 else one
            arrays[f"{prefix}.{name}"] = turned.numpy()
    return Packed.of(arrays)


def check_suits(lab: Lab) -> None:
    """Raises NoPage where the browser cannot run this model."""
    config: Any = lab.base.bridge.original_model.config  # type: ignore[union-attr]
    size = sum(one.numel() for one in weights_of(lab.base).values())
    if size > LARGEST:
        raise NoPage(f"{lab.base.name} has {size:,} parameters, and a page holds at most {LARGEST:,}")
    odd = config.activation_function != "gelu_new" or config.scale_attn_by_inverse_layer_idx
    if odd or not config.tie_word_embeddings:
        raise NoPage(
            f"{lab.base.name} is not GPT-2's plain architecture, which is all that the page computes"
        )


def tokenizer_of(lab: Lab) -> dict[str, Any]:
    """A byte-level BPE tokenizer as the page's own reads it. Raises NoPage for any other kind."""
    whole = json.loads(lab.base.tokenizer.backend_tokenizer.to_str())
    told = whole["normalizer"] or {"type": "Sequence", "normalizers": []}
    steps = told.get("normalizers", [told])
    before, model = whole["pre_tokenizer"] or {}, whole["model"]
    suits = (
        before.get("type") == "ByteLevel" and not before.get("add_prefix_space") and model["type"] == "BPE"
    )
    if not suits or any(step["type"] not in NORMALISERS for step in steps):
        raise NoPage(f"the tokenizer of {lab.base.name} is not the kind that the page can imitate")
    return {
        "vocab": [token for token, _ in sorted(model["vocab"].items(), key=lambda pair: pair[1])],
        "merges": [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]],
        "whole_first": bool(model.get("ignore_merges")),
        "special": {one["content"]: one["id"] for one in whole["added_tokens"]},
        "steps": [
            [step["type"], step["pattern"]["Regex"], step["content"]] if "pattern" in step else [step["type"]]
            for step in steps
        ],
        "end": lab.base.tokenizer.eos_token_id,
    }


def pack_neurons(lab: Lab) -> tuple[Packed, dict[str, Any]]:
    """What is known of every neuron, layer by layer in one row, and of both models together."""
    base, aligned = lab.base, lab.policies.load(POLICY)
    own, shared = (lab.attribution.readings(POLICY, shared=one) for one in (False, True))
    read = {"base": own[0], "aligned": own[1], "shared": shared[1]}
    found = lab.attribution.attribute(POLICY)
    on_shared = lab.attribution.attribute(POLICY, shared=True)
    direction = lab.measures.fit_probe().direction
    flat = "layer neuron ... -> (layer neuron) ..."
    arrays: dict[str, np.ndarray] = {}

    def keep(name: str, value: Tensor, kind: str) -> None:
        arrays[name] = rearrange(value.cpu(), flat).numpy().astype(kind)

    for name in ("before", "along", "along_after"):
        keep(name, getattr(found, name), "float64")
    for on, one in (("own", found), ("shared", on_shared)):
        for name in ("after", "whole", "activation", "value", "interaction"):
            keep(f"{name}.{on}", getattr(one, name), "float64")
        keep(f"noise.{on}", lab.attribution.noise(POLICY, shared=on == "shared"), "float64")
        keep(f"lowers.{on}", torch.stack(list(one.groups().values())).any(dim=0), "uint8")
    code = torch.zeros(found.before.shape, dtype=torch.long)
    for number, inside in enumerate(found.quadrants().values(), start=1):
        code[inside] = number
    keep("group", code, "uint8")

    values = {"base": base.value_vectors.cpu(), "aligned": aligned.value_vectors.cpu()}
    pool = top_neurons(cosines(values["base"], direction), lab.measures.at_most(lab.profile.vectors.svd))
    axes = svd_directions(vectors_of(values["base"], pool), direction, min(3, len(pool)))
    keep("cosine", found.cosine.double(), "float64")
    keep("cosine_after", cosines(values["aligned"], direction).double(), "float64")
    keep("turned", torch.cosine_similarity(values["base"], values["aligned"], dim=-1).double(), "float64")
    keys = torch.cosine_similarity(base.key_vectors.cpu(), aligned.key_vectors.cpu(), dim=-1)
    keep("key_turned", keys.double(), "float64")
    for who, vectors in values.items():
        keep(f"norm.{who}", vectors.norm(dim=-1).double(), "float64")
        keep(
            f"axes.{who}", torch.stack([cosines(vectors, axis) for axis in axes], dim=-1).double(), "float64"
        )
    _pack_words(lab, values, arrays)
    _pack_nearest(values["base"], arrays)
    for who, statistics in read.items():
        _pack_statistics(who, statistics, arrays)
    texts = {"base": lab.statistics.texts("base"), "aligned": lab.statistics.texts(POLICY)}
    for who, (tokens, _) in texts.items():
        arrays[f"texts.{who}"] = tokens.ids.numpy().astype("uint16")
        arrays[f"lengths.{who}"] = tokens.mask.sum(dim=1).numpy().astype("uint16")
    said = {
        "gross": {"own": float(found.gross()), "shared": float(on_shared.gross())},
        "positions": {who: int(one.counts.sum()) for who, one in read.items()},
        "pool": len(pool), "first_seed": lab.profile.dpo.seeds[0],
        "bins": [LOWEST, WIDTH, BINS], "groups": list(GROUPS),
        "seeds": _pack_seeds(lab, direction, arrays),
    }  # fmt: skip
    return Packed.of(arrays), said


def _pack_words(lab: Lab, values: Mapping[str, Tensor], arrays: dict[str, np.ndarray]) -> None:
    k = min(WORDS, int(lab.measures.used_tokens.sum()))
    models = {"base": lab.base, "aligned": lab.policies.load(POLICY)}
    for who, vectors in values.items():
        rows = rearrange(vectors, "layer neuron d_model -> (layer neuron) d_model")
        for end, largest in (("up", True), ("down", False)):
            ids = lab.measures.top_ids(rows, k, largest=largest)
            raised = project_to_vocabulary(models[who], rows.to(lab.device)).cpu().gather(1, ids)
            arrays[f"words.{end}.{who}"] = ids.numpy().astype("uint16")
            arrays[f"raised.{end}.{who}"] = raised.numpy().astype("float32")


def _pack_nearest(vectors: Tensor, arrays: dict[str, np.ndarray]) -> None:
    rows = rearrange(vectors, "layer neuron d_model -> (layer neuron) d_model")
    unit = rows / rows.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)
    cosine = unit @ unit.T
    cosine.fill_diagonal_(-2.0)
    near = cosine.topk(min(NEAREST, len(rows) - 1), dim=-1)
    arrays["near"] = near.indices.numpy().astype("uint16")
    arrays["near.cosine"] = near.values.numpy().astype("float32")


def _pack_statistics(who: str, read: Statistics, arrays: dict[str, np.ndarray]) -> None:
    flat = "layer neuron k -> (layer neuron) k"
    kind = "uint16" if int(read.histogram.max()) < 2**16 else "uint32"
    arrays[f"histogram.{who}"] = rearrange(read.histogram, flat).numpy().astype(kind)
    for end in ("top", "low"):
        for what, kind in (("values", "float32"), ("texts", "int16"), ("positions", "int16")):
            kept = getattr(read, f"{end}_{what}")
            arrays[f"{end}.{what}.{who}"] = rearrange(kept, flat).float().numpy().astype(kind)


def _pack_seeds(lab: Lab, direction: Tensor, arrays: dict[str, np.ndarray]) -> list[int]:
    """The other training seeds that this cache holds policies and their statistics of."""
    found = []
    for seed in lab.profile.dpo.seeds[1:]:
        if not lab.statistics.is_there(POLICY, seed=seed):
            continue
        other = lab.attribution.attribute(POLICY, seed=seed)
        model = lab.policies.load(POLICY, seed=seed)
        for name in ("after", "whole"):
            arrays[f"{name}.{seed}"] = rearrange(getattr(other, name), "l n -> (l n)").numpy()
        cosine = cosines(model.value_vectors.cpu(), direction).double()
        arrays[f"cosine_after.{seed}"] = rearrange(cosine, "l n -> (l n)").numpy()
        found.append(seed)
    return found


def describe(lab: Lab) -> dict[str, Any]:
    """What the page must know besides: shape, decoding, seed, prompts, words that count as toxic."""
    base, decoding = lab.base, lab.profile.decoding
    config: Any = base.bridge.original_model.config  # type: ignore[union-attr]
    masked = zlib.decompress(base64.b64decode(ENCODED.read_bytes()))
    chosen = spread(lab.texts.eliciting("dev"))
    turn = most_changed(lab, lab.policies.load(POLICY), chosen) if chosen else 0
    return {
        "model": base.name, "policy": POLICY,
        "shape": {
            "layers": base.n_layers, "heads": base.n_heads, "width": base.d_model, "neurons": base.d_mlp,
            "vocab": base.vocab_size, "context": base.context, "epsilon": config.layer_norm_epsilon,
            "added_scale": DELTA_SCALE,
        },
        "decoding": decoding.model_dump(), "seed": lab.profile.seed,
        "prompts": [[one.id, one.text, one.group or ""] for one in chosen], "turn": turn,
        "toxic": toxic_patterns(lab.profile), "masked": base64.b64encode(masked).decode(),
        "unmask": lab.show.unmask, "tokenizer": tokenizer_of(lab),
    }  # fmt: skip


def explorer_page(lab: Lab) -> str:
    """The whole page as one document.

    Raises NoPage, with a sentence, where the model is too large for a page or of another architecture.
    """
    check_suits(lab)
    neurons, said = pack_neurons(lab)
    weights = pack_weights(lab.base, lab.policies.load(POLICY))
    told = describe(lab) | {"all": said, "neurons": neurons.index, "weights": weights.index}
    # What the worker runs lies in the page as text, and is started from there: a file may not load another.
    return Template((HERE / "explorer.html").read_text(encoding="utf-8")).substitute(
        css=(HERE / "explorer.css").read_text(encoding="utf-8"),
        model_script=_script("bytes", "tokenizer", "noise", "model", "worker"),
        page_script=_script("bytes", "text", "views", "tour", "code", "page"),
        told=json.dumps(told, ensure_ascii=True).replace("<", "\\u003c"),
        neurons=base64.b64encode(neurons.data).decode(),
        weights=base64.b64encode(weights.data).decode(),
    )


def _script(*names: str) -> str:
    return "\n".join((HERE / f"{name}.js").read_text(encoding="utf-8") for name in names)


def write_explorer(lab: Lab, folder: Path) -> Path:
    """Writes the page beside the others. Raises NoPage as above."""
    target = folder / EXPLORER
    write_whole(target, explorer_page(lab))
    return target


# --- as a command ----------------------------------------------------------------------------------------
def main(folder: str) -> int:
    """Writes the page into a folder, for the profile that the environment names."""
    try:
        target = write_explorer(Lab.start("10_neuron_explorer"), Path(folder))
    except NoPage as reason:
        print(f"There is no {EXPLORER}: {reason}.")
        return 0
    except (ProfileError, ValueError) as error:
        print(f"There is no {EXPLORER}: {error}", file=sys.stderr)
        return 1
    print(f"{EXPLORER} ({target.stat().st_size / 1e6:.0f} MB) runs both models without a server.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
