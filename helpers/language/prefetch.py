"""Fetches all that a profile wants from the hub before long work, so that what is missing ends it at once."""

from __future__ import annotations

from helpers.language import hub
from helpers.language.scoring import CLASSIFIER_FILES
from helpers.profiles import HubScorerSettings, HubText, Profile


def fetch_all(profile: Profile) -> None:
    """Weights, classifiers and datasets of a profile: found whole in the hub's cache, or fetched into it.

    Raises:
        HubError: for the first that cannot be had, or is damaged.
    """
    if profile.model.id:
        hub.model_folder(profile.model.id, profile.model.revision)
    for scorer in profile.scorers:
        if isinstance(scorer, HubScorerSettings) and scorer.id:
            hub.model_folder(scorer.id, scorer.revision, files=CLASSIFIER_FILES)
    for _, source in profile.data:
        if isinstance(source, HubText):
            hub.dataset_files(source.repository, source.revision, source.pattern)
