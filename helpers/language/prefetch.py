"""Fetches all that a profile wants from the hub before long work, so that what is missing ends it at once."""

from __future__ import annotations

from helpers.language import hub
from helpers.language.scoring import CLASSIFIER_FILES
from helpers.language.texts import load_texts
from helpers.profiles import HubScorerSettings, HubText, Profile


def fetch_all(profile: Profile) -> None:
    """Weights, classifiers and datasets of a profile: found whole in the hub's cache, or fetched into it.

    Texts are read and split as well, as the notebooks will: a file may have come whole with other columns.

    Raises:
        HubError: for the first that cannot be had, or is damaged.
        ProfileError: a column or label is not as the profile says, or there is too little text.
    """
    if profile.model.id:
        hub.model_folder(profile.model.id, profile.model.revision)
    for scorer in profile.scorers:
        if isinstance(scorer, HubScorerSettings) and scorer.id:
            hub.model_folder(scorer.id, scorer.revision, files=CLASSIFIER_FILES)
    tables = [source for _, source in profile.data if isinstance(source, HubText)]
    for source in tables:
        hub.dataset_files(source.repository, source.revision, source.pattern)
    if tables:
        load_texts(profile)
