"""What notebooks 04 and 05 do, on real text and smaller: pairs and training, over TOXICITY_LAB_REAL_DATA."""

import math
import os
from pathlib import Path

import pytest

from helpers.lab import Lab

pytestmark = pytest.mark.skipif(
    not os.environ.get("TOXICITY_LAB_REAL_DATA"), reason="TOXICITY_LAB_REAL_DATA names no folder"
)

SMALLER = """
[counts]
comments_train = 300
comments_test = 100
prompts_sweep = 16
perplexity_tokens_sweep = 1200
pairs_valid = 2
[dpo]
batch = 4
warmup_steps = 0
max_steps = 2
evaluate_every = 2
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")
    parent = Path(__file__).parent / "real_text.toml"
    (folder / "smaller.toml").write_text(f'inherits = "{parent}"\n{SMALLER}', encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOXICITY_LAB_CACHE", str(folder / "cache"))
        patch.setenv("TOXICITY_LAB_BUILD", str(folder / "build"))
        yield Lab.start("05_dpo_training", folder / "smaller.toml")


def test_sentences_are_steered_into_pairs_and_a_model_learns_from_them(lab):
    found = lab.pairs.craft("neutral", attempts=96)
    assert 2 <= len(found.kept) < found.counts["attempted"] == 96
    assert all(p.scores["rejected"] - p.scores["chosen"] >= 0.5 for p in found.kept)
    # Few attempts give few pairs: the dropped ones that can be trained on fill the batch.
    pairs = [*found.kept, *found.dropped["the rejected side is not more toxic"]][:12]
    run = lab.policies.train(pairs, seed=0)
    first, last = (row for row in run.history if row["kind"] == "look")
    assert first["validation_loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert last["validation_loss"] != first["validation_loss"] and last["perplexity"] > 1
    assert lab.policies.open(run, "last").d_model == lab.base.d_model
