"""What the explorer asks of the lab that it is handed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from helpers.language.models import LanguageModel
from helpers.language.scoring import Scorer
from helpers.language.texts import Texts
from helpers.profiles import Profile
from helpers.teaching.display.display import Display


@runtime_checkable
class Subject(Protocol):
    """A started lab: two models, their statistics on texts, and the means to measure a text."""

    @property
    def build(self) -> Path: ...

    @property
    def show(self) -> Display: ...

    @property
    def measures(self) -> Any: ...

    @property
    def statistics(self) -> Any: ...

    @property
    def attribution(self) -> Any: ...

    @property
    def looks(self) -> Any: ...

    @property
    def profile(self) -> Profile: ...

    @property
    def base(self) -> LanguageModel: ...

    @property
    def texts(self) -> Texts: ...

    @property
    def scorers(self) -> tuple[Scorer, Scorer]: ...
