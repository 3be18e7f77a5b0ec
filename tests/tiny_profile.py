"""A whole profile in a folder: tiny model, tiny files, seconds to run.

`.venv/bin/python -m tests.tiny_profile` writes one into build/tiny, to try a notebook on another model.
"""

import json
from pathlib import Path

from tests.language.builders import comment_rows, prompt_rows, prose, tiny_model

TOML = """
inherits = "pocket"
name = "tiny"
label = "tiny random model"
model = {{ folder = "{model}" }}

[data]
comments = {{ kind = "file", path = "comments.jsonl", columns = {{ text = "comment_text" }} }}
prompts = {{ kind = "file", path = "prompts.jsonl", columns = {{ text = "prompt.text" }} }}
perplexity = {{ kind = "file", path = "plain.txt", stretch = [0.0, 0.3] }}
passages = {{ kind = "file", path = "plain.txt", stretch = [0.3, 0.6] }}
pair_prompts = {{ kind = "file", path = "plain.txt", stretch = [0.6, 1.0] }}

[[scorers]]
kind = "words"
[[scorers]]
kind = "comments"

[counts]
comments_train = 40
comments_test = 20
comments_scorer = 20
prompts_dev = 8
prompts_eval = 8
prompts_sweep = 4
perplexity_tokens_sweep = 256
perplexity_tokens_report = 512
passages = 4
pairs = 4
pairs_valid = 2
pair_prompts = 6
bootstrap = 50

[decoding]
new_tokens = 6
max_prompt_tokens = 24
[probe]
max_tokens = 32
[dpo]
max_prompt_tokens = 32
max_new_tokens = 24
"""


def tiny_profile(folder: Path) -> Path:
    """Writes the profile and everything it names into `folder` (once) and returns the TOML file."""
    path = folder / "tiny.toml"
    if not path.exists():
        model = tiny_model(folder, context=64)
        for name, rows in (("comments", comment_rows(120)), ("prompts", prompt_rows(60))):
            text = "\n".join(json.dumps(row) for row in rows)
            (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
        (folder / "plain.txt").write_text("\n".join(prose(200)), encoding="utf-8")
        path.write_text(TOML.format(model=model.name), encoding="utf-8")
    return path


if __name__ == "__main__":
    place = Path("build", "tiny")
    place.mkdir(parents=True, exist_ok=True)
    (place / "tiny.toml").unlink(missing_ok=True)  # one of an earlier version
    print(f"PROFILE={tiny_profile(place).as_posix()} TOXICITY_LAB_BUILD={place.as_posix()}/run make run")
