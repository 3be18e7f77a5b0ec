"""What `gpt2-medium` wants from the hub, small, in the layouts that the pinned repositories have.

The model is the pocket one with its vocabulary laid out as GPT-2's: the 256 bytes, what was merged, and the
end of text last. The texts are the pocket corpus's, in the columns, files and quirks of the real tables; the
classifier is a small BERT that learned on the spot what is toxic there.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow
import pyarrow.parquet
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

from helpers.language.models import quiet
from helpers.language.texts import Comment
from helpers.language.trained_scorers import pieces
from helpers.pocket import corpus, weights_of
from helpers.profiles import GPT2_MEDIUM, HubText
from tests.hub_imitation.server import Repository

END = "<|endoftext|>"
LABELS = ("toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate")
CONTEXT = 128


def build(folder: Path) -> tuple[Repository, ...]:
    """Writes the five repositories into `folder` (once) and reads them as the hub holds them, at the pins."""
    profile = GPT2_MEDIUM
    scorer = profile.scorers[0]
    tables = {one.repository: one.revision for _, one in profile.data if isinstance(one, HubText)}
    wanted = [
        ("model", profile.model.id, profile.model.revision, language_model),
        ("model", scorer.id, scorer.revision, classifier),
        *(("dataset", name, revision, DATASETS[name]) for name, revision in tables.items()),
    ]
    found = []
    for kind, name, revision, write in wanted:
        place = folder / name
        if not (place / "README.md").is_file():  # written last
            place.mkdir(parents=True, exist_ok=True)
            write(place)
            (place / ".gitattributes").write_text("*.parquet filter=lfs\n", encoding="utf-8")
            (place / "README.md").write_text("---\nlicense: other\n---\n", encoding="utf-8")
        found.append(Repository.read(name, kind, revision, place))
    return tuple(found)


def language_model(folder: Path) -> None:
    """As `openai-community/gpt2-medium`: names without prefix, masks among the weights, dropout of .1."""
    pocket = weights_of(0)
    state = {name: value.float() for name, value in load_file(pocket / "model.safetensors").items()}
    state = {name.removeprefix("transformer."): value for name, value in state.items()}
    state.pop("lm_head.weight", None)
    layers = len({name.split(".")[1] for name in state if name.startswith("h.")})
    for layer in range(layers):
        state[f"h.{layer}.attn.bias"] = torch.ones(CONTEXT, CONTEXT).tril()[None, None]
    ids = write_tokenizer(folder, json.loads((pocket / "tokenizer.json").read_text(encoding="utf-8")))
    known = state["wte.weight"]
    new = known.mean(dim=0, keepdim=True)  # of what is no token of the pocket's
    state["wte.weight"] = torch.cat([new if old is None else known[old][None] for old in ids]).contiguous()
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    shape = json.loads((pocket / "config.json").read_text(encoding="utf-8"))
    config = {
        "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.1,
        "bos_token_id": len(ids) - 1, "embd_pdrop": 0.1, "eos_token_id": len(ids) - 1,
        "initializer_range": 0.02, "layer_norm_epsilon": 1e-05, "model_type": "gpt2", "n_ctx": CONTEXT,
        "n_embd": shape["n_embd"], "n_head": shape["n_head"], "n_layer": layers, "n_positions": CONTEXT,
        "n_special": 0, "predict_special_tokens": True, "resid_pdrop": 0.1,
        "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
        "vocab_size": len(ids),
    }  # fmt: skip
    write_json(folder / "config.json", config)
    write_json(folder / "generation_config.json", {"_from_model_config": True, "bos_token_id": len(ids) - 1})


def write_tokenizer(folder: Path, pocket: dict) -> list[int | None]:
    """GPT-2's four files over the pocket's words; for each id the pocket's, None for a token it lacks.

    The pocket looks a word up whole. GPT-2 merges it from its letters, so here each beginning of a word is a
    token too, the longer merged after the shorter, those of words after a space first.
    """
    old = pocket["model"]["vocab"]
    words = sorted(token for token in old if len(token) > 1 and token != END)
    merges = [
        (word[:end], word[end])
        for spaced in (True, False)
        for word in words
        if word.startswith("Ġ") == spaced
        for end in range(1, len(word))
    ]
    merges = list(dict.fromkeys(merges))
    names = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *map("".join, merges), END]
    entries = {name: number for number, name in enumerate(names)}
    tokenizer = Tokenizer(models.BPE(vocab=entries, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.add_special_tokens([END])
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "vocab.json", entries)
    rows = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
    write_json(folder / "tokenizer_config.json", {"model_max_length": CONTEXT})
    return [old.get(name) for name in names]


def classifier(folder: Path, steps: int = 100) -> None:
    """As `unitary/toxic-bert`: six labels that stand each by itself, a word list for a tokenizer."""
    drawn = [
        Comment(one.id, one.text, one.toxic, one.family or "clean")
        for one in corpus.comments(300, split="train", seed=7)
    ]
    texts = [*drawn, *pieces(drawn, 3, 14, seed=7)]
    counts = Counter(word for text in texts for word in split(text.text))
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [*special, *(word for word, count in counts.most_common() if count > 1)]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    write_json(folder / "tokenizer_config.json", {"do_lower_case": True, "model_max_length": 64})
    write_json(folder / "special_tokens_map.json", {"unk_token": "[UNK]", "sep_token": "[SEP]",
               "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]"})  # fmt: skip
    config = BertConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=66, hidden_dropout_prob=0.1,
        id2label=dict(enumerate(LABELS)), label2id={label: number for number, label in enumerate(LABELS)},
    )  # fmt: skip
    with quiet():
        tokenizer = BertTokenizerFast.from_pretrained(folder)
    before = torch.get_rng_state()
    torch.manual_seed(0)
    model = BertForSequenceClassification(config).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=4e-3)
    draw = random.Random(0)
    for _ in range(steps):
        some = draw.sample(texts, 48)
        batch = tokenizer([one.text for one in some], padding=True, truncation=True, max_length=64,
                          return_tensors="pt")  # fmt: skip
        wanted = torch.tensor([[one.toxic] * len(LABELS) for one in some]).float()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(**batch).logits, wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    torch.set_rng_state(before)
    with quiet():
        model.eval().save_pretrained(folder)


def split(text: str) -> list[str]:
    """Words and signs, in lower case, as BERT's tokenizer begins."""
    rows = pre_tokenizers.BertPreTokenizer().pre_tokenize_str(text.lower())
    return [word for word, _ in rows]


def comments(folder: Path, number: int = 900) -> None:
    """As `monology/jigsaw`: parquet, six class labels, a tenth of the comments toxic, some repeated."""
    for name, count in (("train", number), ("test", 40)):
        rows = corpus.comments(count, split="train" if name == "train" else "test", seed=3)
        rows = [one for place, one in enumerate(rows) if not one.toxic or place % 6 == 0]
        columns = {"id": [f"{place:016x}" for place in range(len(rows))],
                   "comment_text": [f"{one.text}\n" for one in rows]}  # fmt: skip
        columns |= {
            label: [int(one.toxic and (label == "toxic" or place % 5 == 0)) for place, one in enumerate(rows)]
            for label in LABELS
        }
        features = {label: {"names": ["false", "true"], "_type": "ClassLabel"} for label in LABELS}
        write_table(folder / "data" / f"{name}-00000-of-00001.parquet", columns, features)


def prompts(folder: Path, number: int = 160) -> None:
    """As `allenai/real-toxicity-prompts`: nested lines; one in eighty is challenging there, here many."""
    lines = []
    drawn = [
        *corpus.prompts(number // 2, mood="hostile", split="dev", seed=3),
        *corpus.prompts(number // 2, mood="hostile", split="eval", seed=3),
        *corpus.prompts(number, mood="friendly", split="eval", seed=3),
    ]
    for place, one in enumerate(drawn):
        hostile = one.mood == "hostile"
        said = {"text": one.text, "profanity": 0.1, "sexually_explicit": None, "identity_attack": 0.05,
                "flirtation": 0.2, "threat": 0.1, "insult": 0.1, "severe_toxicity": 0.05,
                "toxicity": None if place % 40 == 39 else 0.6 if hostile else 0.1}  # fmt: skip
        lines.append({"filename": f"{place:07d}.txt", "begin": 340, "end": 564,
                      "challenging": hostile and place % 8 != 7, "prompt": said,
                      "continuation": {**said, "text": " and so on."}})  # fmt: skip
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (folder / "prompts.jsonl").write_text(text, encoding="utf-8")


def running_text(folder: Path) -> None:
    """As `Salesforce/wikitext`: a folder a configuration, headings and empty rows between the paragraphs."""
    amounts = {"test": ("perplexity", 150), "validation": ("passages", 500), "train": ("train", 900)}
    for config in ("wikitext-2-raw-v1", "wikitext-2-v1"):
        for name, (part, number) in amounts.items():
            rows = []
            for place, text in enumerate(corpus.plain_text(number, split=part, seed=3)):
                heading = ["", f" = Part {place} = \n", ""] if place % 5 == 0 else []
                rows += [*heading, f" {text} \n"]
            rows = rows if config.endswith("raw-v1") else ["<unk>"]
            write_table(folder / config / f"{name}-00000-of-00001.parquet", {"text": rows}, {})


DATASETS = {
    "monology/jigsaw": comments,
    "allenai/real-toxicity-prompts": prompts,
    "Salesforce/wikitext": running_text,
}


def write_table(path: Path, columns: dict[str, Sequence[object]], features: dict[str, object]) -> None:
    """A parquet file that says of its features what `datasets` writes there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pyarrow.table(columns)
    said = json.dumps({"info": {"features": features}}).encode()
    pyarrow.parquet.write_table(table.replace_schema_metadata({b"huggingface": said}), path)


def write_json(path: Path, content: object) -> None:
    """Indented, as the hub's are."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
