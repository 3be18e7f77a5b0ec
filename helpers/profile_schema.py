"""The fields of a profile: every knob of the notebooks, with its type, its range and what it means."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Settings(BaseModel):
    """What all parts of a profile have in common: they cannot be changed, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class ModelSource(Settings):
    """Where a model's weights and tokenizer are: a folder on this machine or a repository on the hub."""

    id: str | None = Field(default=None, description="hub repository, such as openai-community/gpt2-medium")
    folder: Path | None = Field(default=None, description="local folder written by save_pretrained")
    revision: str | None = Field(default=None, description="full commit hash of the hub repository")

    @model_validator(mode="after")
    def _one_place(self) -> ModelSource:
        if (self.id is None) == (self.folder is None):
            raise ValueError("give exactly one of `id` (hub repository) and `folder` (local folder)")
        return self
