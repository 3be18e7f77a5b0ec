"""Where a profile takes models, text and toxicity scores from: folders, files, the hub, the pocket corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

Share = Annotated[float, Field(ge=0, le=1)]
Role = Literal["text", "toxic", "group", "prompt", "chosen", "rejected"]
Value = str | bool | int | float


class ProfileError(ValueError):
    """A profile, or data it names, that cannot be used: says what is wrong and lists what would be right."""


class Settings(BaseModel):
    """What all parts of a profile have in common: they cannot be changed, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class ModelSource(Settings):
    """Where a model's weights and tokenizer are: a folder on this machine or a repository on the hub."""

    id: str | None = Field(default=None, description="hub repository, such as openai-community/gpt2-medium")
    folder: Path | None = Field(default=None, description="local folder written by save_pretrained")
    revision: str | None = Field(default=None, description="full commit hash of the hub repository")
    untrained: int | None = Field(
        default=None, ge=0,
        description="seed of random weights of this shape in place of the model's own: a negative control",
    )  # fmt: skip

    @model_validator(mode="after")
    def _one_place(self) -> ModelSource:
        if (self.id is None) == (self.folder is None):
            raise ValueError("give exactly one of `id` (hub repository) and `folder` (local folder)")
        return self


class PocketText(Settings):
    """Text from the generator that the embedded model was trained on."""

    kind: Literal["pocket"] = "pocket"


class _Table(Settings):
    """What file and hub tables share: which column plays which role."""

    columns: dict[Role, str] = Field(
        default={},
        description="role = column; a role left out is a column of its own name; dots reach into nested JSON",
    )
    toxic_values: tuple[Value, ...] = Field(
        default=(),
        description='values of `toxic` that mean toxic, such as ["OFF"] or [0, 1]; all others mean clean',
    )
    label_threshold: float | None = Field(
        default=None, description="a comment is toxic from this value of `toxic` on; for a column of scores"
    )
    keep: str | None = Field(
        default=None, description="use only the rows in which this column is true, or a score of at least .5"
    )
    keep_values: tuple[Value, ...] = Field(
        default=(), description="of `keep`: use the rows in which it has one of these values instead"
    )
    spare: str | None = Field(
        default=None,
        description="of prompts: rows in which this column is true, or a score of at least .5, serve for "
        "pairs beside those that dev and eval leave over",
    )

    def column(self, role: str) -> str:
        """The column that plays a role."""
        return self.columns.get(role, role)  # type: ignore[call-overload]


class FileText(_Table):
    """Text from a file: JSONL, JSON, CSV, Parquet, or plain text (each line a row with the column `text`)."""

    kind: Literal["file"] = "file"
    path: Path = Field(description="the file; in a TOML profile, relative to the profile")
    stretch: tuple[Share, Share] = Field(
        default=(0.0, 1.0),
        description="which part of the rows, as fractions: one file can serve several ends without overlap",
    )

    @model_validator(mode="after")
    def _in_order(self) -> FileText:
        if not self.stretch[0] < self.stretch[1]:
            raise ValueError(
                f"stretch must run from a smaller to a larger fraction, not {list(self.stretch)}"
            )
        return self


class HubText(_Table):
    """Text from a dataset repository on the hub, at a pinned revision."""

    kind: Literal["hub"] = "hub"
    repository: str = Field(description="dataset repository, owner/name")
    revision: str | None = Field(
        default=None, description="full commit hash; None warns that figures may move"
    )
    config: str | None = Field(
        default=None, description="configuration, where files lie in a folder of its name"
    )
    split: str = Field(default="train", description="which split's files to read")
    file: str | None = Field(
        default=None, description="file pattern in the repository; None: from config and split"
    )

    @property
    def pattern(self) -> str:
        """The files to read, as a pattern over the repository's file names."""
        return self.file or f"{self.config + '/' if self.config else '*'}{self.split}-*.parquet"


Source = Annotated[PocketText | FileText | HubText, Field(discriminator="kind")]


class Data(Settings):
    """Where each kind of text comes from."""

    comments: Source = Field(
        description="labelled comments for the probe; roles text and toxic, and group (mood, topic) if named"
    )
    prompts: Source = Field(description="beginnings that elicit toxic text; role text")
    perplexity: Source = Field(description="held-out running text on which perplexity is measured; role text")
    pair_prompts: Source = Field(description="prompts from which preference pairs are made; role text")
    passages: Source = Field(
        description="held-out passages whose true continuation F1 is measured on; role text"
    )
    pairs: FileText | None = Field(
        default=None, description="published preference pairs to import; roles prompt, chosen, rejected"
    )


class ExactScorerSettings(Settings):
    """The generator's own lexicon and threat patterns: exact on text of the pocket corpus."""

    kind: Literal["pocket-exact"] = "pocket-exact"


class MaskedScorerSettings(Settings):
    """A classifier trained on pocket comments with the lexicon's words masked."""

    kind: Literal["pocket-masked"] = "pocket-masked"


class HubScorerSettings(Settings):
    """A toxicity classifier from the hub or a folder, run on this machine."""

    kind: Literal["hub"] = "hub"
    id: str | None = Field(default=None, description="hub repository of the classifier")
    folder: Path | None = Field(default=None, description="local folder of the classifier")
    revision: str | None = Field(default=None, description="full commit hash of the hub repository")
    label: str = Field(default="toxic", description="the label whose probability is the score")
    batch: PositiveInt = Field(default=64, description="texts scored at once")

    @model_validator(mode="after")
    def _one_place(self) -> HubScorerSettings:
        if (self.id is None) == (self.folder is None):
            raise ValueError("give exactly one of `id` (hub repository) and `folder` (local folder)")
        return self


class CommentScorerSettings(Settings):
    """TF-IDF and logistic regression, trained on labelled comments that the probe does not see."""

    kind: Literal["comments"] = "comments"


class WordScorerSettings(Settings):
    """Says whether a text has a word of the project's two word lists."""

    kind: Literal["words"] = "words"


ScorerSettings = Annotated[
    ExactScorerSettings
    | MaskedScorerSettings
    | HubScorerSettings
    | CommentScorerSettings
    | WordScorerSettings,
    Field(discriminator="kind"),
]
