"""Sentences and titles of the notebooks hold for any model, or are computed: these once did not."""

import re
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2] / "notebooks" / "py"


@pytest.mark.parametrize(
    ("notebook", "claim"),
    [
        ("00_start_here", "three kinds of prompt"),  # a file of prompts has one kind
        ("00_start_here", "my_guess.get(group, 0.5)"),  # a bar that nobody guessed
        ("00_start_here", "What share of the continuations"),  # the figure shows a mean score
        # Where most labels are alike, the best accuracy may well go with the clearest direction.
        ("01_toxicity_probe", "section 6 shows why it must not be chosen by accuracy"),
        ("01_toxicity_probe", "GPT-2 parks large activations on its first token"),  # not every small one
        ("04_preference_pairs", "Twenty pairs"),  # there may be eight
        # A classifier trained on little but toxic comments calls any token toxic, and the end of text.
        ("04_preference_pairs", "toxic_draw = lab.scorers[0].score(model.token_strings(drawn[:, 0])) >= 0.5"),
        ("05_dpo_training", "hold few of the latter"),  # a model that is sure of nothing: 90 % and 96 %
        ("05_dpo_training", "drop was chosen, 46 % of base on development prompts; its"),  # it may be .81
        ("05_dpo_training", "It was matched to a published drop on development prompts"),
        ("05_dpo_training", ') print(f"Of the margin'),  # it may be negative
        ("05_dpo_training", "Toxicity after hostile prompts falls"),
        ("05_dpo_training", "so that *matched* and *strong* are two policies"),
        ("05_dpo_training", "the *neutral* line falls"),  # imported pairs have no such line
    ],
)
def test_what_holds_for_one_model_alone_is_not_said_of_all(notebook, claim):
    text = (SOURCES / f"{notebook}.py").read_text(encoding="utf-8")
    assert claim not in " ".join(text.replace("\n# ", " ").split())


@pytest.mark.parametrize("path", sorted(SOURCES.glob("*.py")), ids=lambda path: path.stem)
def test_no_cell_divides_by_a_toxicity_that_may_be_zero(path):
    """`share` does: it leaves the share of a base that is not toxic undefined."""
    code = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert not [line for line in code if re.search(r" / \S*toxicity", line)]
