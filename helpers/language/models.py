"""Loads GPT-2 checkpoints as TransformerLens bridges; the only file that knows the loading APIs."""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import datasets
import einops
import torch
import transformers
import xxhash
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerBase

from helpers.language import hub
from helpers.language.tokens import Tokens, pad
from helpers.profiles import ModelSource, check_model_folder
from helpers.runtime import give_memory_back

LOGIT_TOLERANCE = 1e-4
"""How far, relative to the largest logit, the bridge may stand from Hugging Face's own forward pass."""

class ModelError(RuntimeError):
    """A checkpoint that cannot be used as it is; the message says what to do about it."""


@runtime_checkable
class HasPlace(Protocol):
    """Anything that says which MLP neuron it is (`helpers.mechanism.vectors.Neuron` does)."""

    @property
    def layer(self) -> int: ...

    @property
    def index(self) -> int: ...


@dataclass(frozen=True, eq=False, repr=False)
class LanguageModel:
    """A GPT-2 with a hook at every activation, its own tokenizer, and raw float32 weights.

    Weights are the checkpoint's: no LayerNorm is folded in and nothing is centred, so value vectors and a
    probe of the residual stream live in the same space. Parameters do not ask for gradients.

    Example:
        model = load_model(profile.model, name="base")
        tokens = model.tokenise(["You are such a"])
        model.logits(tokens).shape
        torch.Size([1, 4, 1100])
    """

    name: str
    bridge: TransformerBridge
    tokenizer: PreTrainedTokenizerBase
    source: str
    hooks_at_boot: int = 0
    edits: list[Mapping[str, Any]] = field(default_factory=list)
    """The interventions in force, outermost first, each as what it was asked for."""
    digests: dict[tuple[int, ...], str] = field(default_factory=dict)
    """Of weights on a GPU, by their checksums."""

    def __repr__(self) -> str:
        shape = f"{self.n_layers} layers x {self.d_model}, {self.n_heads} heads, {self.vocab_size} tokens"
        return f"LanguageModel({self.name!r}, {shape}, on {self.device}, from {self.source})"

    def let_go(self) -> None:
        """Frees the weights at once; the model cannot be used afterwards.

        A bridge refers to itself, so that one nobody uses stays until Python's collector comes by, which
        counts objects and not gigabytes: at GPT2-medium's size each of a hundred trials would leave 1.4.
        """
        self.bridge.original_model.to("meta")
        give_memory_back()

    @property
    def n_layers(self) -> int:
        return self.bridge.cfg.n_layers

    @property
    def d_model(self) -> int:
        return self.bridge.cfg.d_model

    @property
    def d_mlp(self) -> int:
        return int(self.bridge.cfg.d_mlp or 0)

    @property
    def n_heads(self) -> int:
        return self.bridge.cfg.n_heads

    @property
    def context(self) -> int:
        """The longest text the model can read, in tokens."""
        return self.bridge.cfg.n_ctx

    @property
    def vocab_size(self) -> int:
        return self.bridge.cfg.d_vocab

    @property
    def device(self) -> torch.device:
        return next(self.bridge.parameters()).device

    @property
    def value_vectors(self) -> Float[Tensor, "layer neuron d_model"]:
        """What each MLP neuron writes to the residual stream per unit of activation (a copy of `W_out`)."""
        with torch.no_grad():
            return self.bridge.W_out.detach()

    @property
    def key_vectors(self) -> Float[Tensor, "layer neuron d_model"]:
        """What each MLP neuron reads, a column of `W_in` each (a copy). Input is the LayerNorm's output."""
        with torch.no_grad():
            return einops.rearrange(self.bridge.W_in.detach(), "layer d_model neuron -> layer neuron d_model")

    def value_vector(self, neuron: HasPlace) -> Float[Tensor, " d_model"]:
        """One neuron's value vector (a copy). Raises IndexError if the model has no such neuron."""
        if not (0 <= neuron.layer < self.n_layers and 0 <= neuron.index < self.d_mlp):
            raise IndexError(
                f"{self.name} has no neuron {neuron}: layers run 0 to {self.n_layers - 1}, "
                f"neurons 0 to {self.d_mlp - 1}."
            )
        return self.bridge.blocks[neuron.layer].mlp.W_out[neuron.index].detach().clone()

    @contextlib.contextmanager
    def on_record(self, edit: Mapping[str, Any], hooks: int) -> Iterator[LanguageModel]:
        """Keeps an edit on record for as long as the block runs.

        Args:
            edit: all that it does, as `fingerprint` takes it: results under it are kept by it.
            hooks: how many hooks it has put on the model.
        """
        self.edits.append({**edit, "hooks": hooks})
        try:
            yield self
        finally:
            self.edits.pop()

    @property
    def has_unknown_hooks(self) -> bool:
        """Whether a hook is on that no edit accounts for, such as one put there by hand."""
        known = sum(edit["hooks"] for edit in self.edits)
        return count_hooks(self.bridge) != self.hooks_at_boot + known

    def weights_digest(self) -> str:
        """Stands for the weights and the architecture as they are now: equal for equal models.

        Every look asks for it, hundreds of times in a notebook. So weights on a GPU are copied from it only
        where their checksums have not been met before.
        """
        inside: Any = self.bridge.original_model
        weights = dict(sorted(inside.named_parameters()))
        if self.device.type == "cpu":
            return digest_of(inside.config, weights)
        met = checksums(weights.values())
        if met not in self.digests:
            self.digests[met] = digest_of(inside.config, weights)
        return self.digests[met]

    def tokenise(self, texts: Sequence[str], *, side: str = "right", max_tokens: int | None = None) -> Tokens:
        """Token ids of some texts, padded to the longest, on the model's device. No start token is added.

        Args:
            side: where padding goes: "right" for reading, "left" for generating.
            max_tokens: keep the first so many tokens of each text, or as many as the context holds; None
                keeps all (`logits` then refuses what is longer than the context).
        """
        if isinstance(texts, str) or len(texts) == 0:
            raise ValueError("tokenise wants a non-empty list of texts.")
        if max_tokens is not None and max_tokens < 1:
            raise ValueError(f"max_tokens must be at least 1, not {max_tokens}.")
        rows = self.tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
        if max_tokens is not None:
            rows = [row[: min(max_tokens, self.context)] for row in rows]
        empty = [number for number, row in enumerate(rows) if not row]
        if empty:
            raise ValueError(
                f"Text {empty[0]} has no tokens: a model without a start token cannot read nothing."
            )
        return pad(rows, self.tokenizer.eos_token_id, side=side).to(self.device)

    def token_strings(self, ids: Int[Tensor, " pos"] | Sequence[int]) -> list[str]:
        """The text of each token alone, leading space kept."""
        return [str(self.tokenizer.decode([int(token)])) for token in ids]

    @torch.no_grad()
    def logits(self, tokens: Tokens) -> Float[Tensor, "batch pos vocab"]:
        """Next-token logits. Where padding stands makes no difference to the real positions.

        Raises ValueError if the batch is longer than the context.
        """
        if tokens.ids.shape[1] > self.context:
            raise ValueError(
                f"{tokens.ids.shape[1]} tokens do not fit the context of {self.context} of {self.name}: "
                f"pass max_tokens={self.context} to tokenise, or cut the text into windows."
            )
        return self.bridge(tokens.ids, attention_mask=tokens.mask.long())


def load_model(source: ModelSource, *, device: str | torch.device = "cpu", name: str) -> LanguageModel:
    """Loads a checkpoint, from a folder or the hub, ready for analysis. Peak memory: about once its weights.

    Args:
        source: where the weights are; any GPT-2 shape will do.
        name: what figures and tables call the model.

    Raises:
        ProfileError: the folder is missing or holds no GPT-2 checkpoint.
        ModelError: weights are missing from it, or the bridge computes something else than Hugging Face.
        HubError: the hub is out of reach, or the revision lacks a file.
    """
    hf, tokenizer = load_hf(source)
    return boot(hf, tokenizer, name=name, device=device)


def load_hf(
    source: ModelSource, *, dtype: torch.dtype = torch.float32
) -> tuple[GPT2LMHeadModel, PreTrainedTokenizerBase]:
    """The plain Hugging Face model and tokenizer, on the CPU, for training and for `boot`.

    Where the source asks for an untrained model, its weights are drawn instead of read.
    """
    folder = source.folder or hub.model_folder(str(source.id), source.revision)
    check_model_folder(folder)
    with quiet():
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
        named = config.activation_function
        if named == "gelu_new":
            config.activation_function = "gelu_pytorch_tanh"  # the same function in one call instead of eight
        if source.untrained is not None:
            hf, report = draw_weights(config, source.untrained, dtype), dict[str, Any]()
        else:
            loaded: Any = GPT2LMHeadModel.from_pretrained(
                folder, config=config, dtype=dtype, attn_implementation="eager", local_files_only=True,
                output_loading_info=True,
            )  # fmt: skip
            hf, report = loaded
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    hf.config.activation_function = named  # what is saved says what was loaded
    for problem in ("missing_keys", "mismatched_keys"):
        if report.get(problem):
            names = ", ".join(str(key) for key in sorted(report[problem])[:4])
            raise ModelError(
                f"{folder} is not a whole GPT-2 checkpoint: {len(report[problem])} "
                f"{problem.replace('_', ' ')} ({names} …). Save it again with save_pretrained."
            )
    if tokenizer.eos_token_id is None:
        raise ModelError(
            f"The tokenizer in {folder} has no end-of-text token; set eos_token and save it again."
        )
    if len(tokenizer) > hf.config.vocab_size:
        raise ModelError(
            f"The tokenizer in {folder} knows {len(tokenizer)} tokens but the model has "
            f"{hf.config.vocab_size}: they do not belong together."
        )
    broken = [name for name, weight in hf.named_parameters() if not weight.isfinite().all()]
    if broken:
        raise ModelError(
            f"{folder} holds weights that are no finite numbers ({', '.join(broken[:4])}): its training "
            "diverged, or the file is damaged. Take an earlier checkpoint."
        )
    return hf.eval(), tokenizer


def draw_weights(config: GPT2Config, seed: int, dtype: torch.dtype) -> GPT2LMHeadModel:
    """A model of a checkpoint's shape with the random weights that training from this seed would start at."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return GPT2LMHeadModel._from_config(config, dtype=dtype, attn_implementation="eager")


def boot(
    hf: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerBase, *, name: str, device: str | torch.device = "cpu"
) -> LanguageModel:
    """Turns a Hugging Face model into a hooked one, in place, and checks that both compute the same logits.

    They are compared where the text is read at once, and where it is read on from a key-value cache, as
    continuations are written.

    The object handed in is taken over (save it before, or hand in a copy): its weights are shared, not
    copied, so memory holds them once.
    """
    wrong = {str(parameter.dtype) for parameter in hf.parameters()} - {"torch.float32"}
    if wrong:
        raise ModelError(
            f"Analysis is done in float32, but {name} has weights in {', '.join(sorted(wrong))}."
        )
    hf = hf.eval().to(device)
    ids = fixed_prompt(hf.config.vocab_size, hf.config.n_positions).to(device)
    with torch.no_grad():
        expected = hf(ids).logits
    # Without a start token TransformerLens keeps this tokenizer; with one it would fetch another by name.
    hooked_tokenizer = copy.deepcopy(tokenizer)
    hooked_tokenizer.bos_token = None
    source = str(hf.config._name_or_path) or "memory"
    with quiet():
        bridge = TransformerBridge.boot_transformers(
            source, hf_model=hf, tokenizer=hooked_tokenizer, device=device, dtype=torch.float32
        )
    bridge.cfg.default_prepend_bos = False
    bridge.eval().requires_grad_(False)
    half = ids.shape[1] // 2
    with torch.no_grad():
        apart = float((bridge(ids) - expected).abs().max())
        begun = hf(ids[:, :half], use_cache=True).past_key_values
        read_on = hf(ids[:, half:], past_key_values=begun, use_cache=True).logits
        cached = float((read_on - expected[:, half:]).abs().max())
    allowed = LOGIT_TOLERANCE * max(1.0, float(expected.abs().max()))
    if not apart <= allowed:  # also catches NaN
        raise ModelError(
            f"{name} computes other logits as a TransformerLens bridge than as a Hugging Face model: "
            f"{apart:.2g} apart, {allowed:.2g} allowed. Check the weights for NaN and the library versions."
        )
    if not cached <= allowed:
        raise ModelError(
            f"{name} computes other logits with its key-value cache than without: {cached:.2g} apart, "
            f"{allowed:.2g} allowed, so it would write other text. transformers {transformers.__version__} "
            "and this TransformerLens do not fit each other: install the versions in constraints.txt."
        )
    return LanguageModel(name, bridge, tokenizer, source, hooks_at_boot=count_hooks(bridge))


def digest_of(config: GPT2Config, weights: Mapping[str, Tensor]) -> str:
    """Stands for an architecture and its weights. xxHash is ten times as fast as SHA-256."""
    told = {name: value for name, value in config.to_dict().items() if name[0] != "_"}
    found = xxhash.xxh3_128(json.dumps(told, sort_keys=True, default=str).encode())
    for name, weight in weights.items():
        found.update(name.encode())
        found.update(weight.detach().cpu().contiguous().numpy().data)
    return found.hexdigest()


def checksums(weights: Iterable[Tensor], at_once: int = 2**22) -> tuple[int, ...]:
    """A number for each float32 tensor, from its bits and their places, summed where the tensor lies.

    The bits of each weight times an odd number of its own, modulo 2⁶⁴: it changes whenever one weight does
    or two change places, and as good as surely with any other edit. It is no stand-in for a digest on disk.

    Args:
        at_once: weights that are multiplied at once; each takes some 24 bytes meanwhile.
    """
    sums = []
    for weight in weights:
        bits = weight.detach().contiguous().flatten().view(torch.int32)
        total = torch.zeros((), dtype=torch.int64, device=bits.device)
        for start in range(0, len(bits), at_once):
            some = bits[start : start + at_once].long()
            places = torch.arange(start, start + len(some), device=bits.device)
            total += (some * (2 * places + 1)).sum()
        sums.append(total)
    return tuple(torch.stack(sums).tolist())


@contextlib.contextmanager
def booted(
    hf: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerBase, *, name: str, device: str | torch.device = "cpu"
) -> Iterator[LanguageModel]:
    """A model that `boot` makes, for the time of a `with`; then its weights are let go."""
    model = boot(hf, tokenizer, name=name, device=device)
    try:
        yield model
    finally:
        model.let_go()


def count_hooks(bridge: TransformerBridge) -> int:
    """How many forward hooks are on a bridge and the model inside it.

    Left out are those that transformers puts on for good, and which change nothing, when it is first asked
    for attention patterns or hidden states (as `run_with_cache` does).
    """
    modules = {*bridge.modules(), *bridge.original_model.modules()}
    registries = [each for module in modules for each in (module._forward_hooks, module._forward_pre_hooks)]
    hooks = [hook for registry in registries for hook in registry.values()]
    return sum(getattr(hook, "__module__", "") != "transformers.utils.output_capturing" for hook in hooks)


def fixed_prompt(vocab_size: int, context: int) -> Int[Tensor, "1 pos"]:
    """The token ids on which every model is held against Hugging Face's: 16 spread over the vocabulary."""
    length = min(16, context)
    return (torch.arange(length) * 7919 % vocab_size).unsqueeze(0)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silences bars and notices of transformers, TransformerLens, datasets and TRL, and restores what was.

    Nothing is lost by it: missing weights and unequal logits are checked and raise.
    """
    messages: Any = transformers.logging
    verbosity, bars = messages.get_verbosity(), messages.is_progress_bar_enabled()
    data_bars = not datasets.are_progress_bars_disabled()
    root = logging.getLogger()
    level = root.level
    messages.set_verbosity_error()
    messages.disable_progress_bar()
    datasets.disable_progress_bars()
    root.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        messages.set_verbosity(verbosity)
        if bars:
            messages.enable_progress_bar()
        if data_bars:
            datasets.enable_progress_bars()
        root.setLevel(level)
