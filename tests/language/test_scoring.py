"""Scorers: what each reads, that training is honest, and that hub classifiers are run as their files say."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tokenizers import BertWordPieceTokenizer
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

from helpers.artifacts import fingerprint
from helpers.language.models import quiet
from helpers.language.scoring import (
    ExactScorer,
    HubScorer,
    Scorer,
    WordScorer,
    build_scorer,
    scorer_ingredients,
    toxic_vocabulary,
)
from helpers.language.texts import Comment, Texts, load_texts
from helpers.language.trained_scorers import TrainedScorer, context_words, pieces
from helpers.language.words import toxic_word_list
from helpers.pocket import corpus
from helpers.profiles import (
    POCKET,
    CommentScorerSettings,
    ExactScorerSettings,
    HubScorerSettings,
    MaskedScorerSettings,
    WordScorerSettings,
    load_profile,
)
from tests.language.builders import SENTENCES, tiny_tokenizer

PROFILE = POCKET.model_copy(update={"counts": POCKET.counts.model_copy(update={"bootstrap": 100})})
JIGSAW = ["toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate"]


def comments(split, number):
    return tuple(
        Comment(one.id, one.text, one.toxic, one.family or "clean", one.held_out, one.mood)
        for one in corpus.comments(number, split=split, seed=0)
    )


@pytest.fixture(scope="module")
def texts():
    return Texts((), comments("test", 160), (), comments("scorer", 300), (), (), (), (), "", ())


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """Saves a tiny BERT classifier of some labels; returns its folder."""

    def build(labels, problem=None, seed=0) -> Path:
        folder = tmp_path_factory.mktemp("classifier")
        trained = BertWordPieceTokenizer(lowercase=True)
        trained.train_from_iterator(SENTENCES, vocab_size=200, show_progress=False)
        trained.save_model(str(folder))
        tokenizer = BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=40)
        torch.manual_seed(seed)
        config = BertConfig(
            vocab_size=200, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
            max_position_embeddings=48, id2label=dict(enumerate(labels)),
            label2id={label: number for number, label in enumerate(labels)}, problem_type=problem,
        )  # fmt: skip
        model = BertForSequenceClassification(config)
        torch.nn.init.normal_(model.classifier.weight)
        with quiet():
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
        return folder

    return build


def hand_logits(folder, text):
    with quiet():
        model = BertForSequenceClassification.from_pretrained(folder).eval()
        tokenizer = BertTokenizerFast.from_pretrained(folder)
    with torch.no_grad():
        return model(**tokenizer(text, truncation=True, max_length=40, return_tensors="pt")).logits[0]


def test_word_scorer_finds_whole_words_in_any_case():
    scorer = WordScorer({"fool", "old fool", "a.b"})
    assert scorer.score(["You FOOL!", "foolish", "", "acb", "a.b here"]).tolist() == [1, 0, 0, 0, 1]
    with pytest.raises(ValueError, match="at least one word"):
        WordScorer(set())


def test_exact_scorer_agrees_with_the_generators_labels(texts):
    drawn = texts.comments_test
    assert ExactScorer().score([one.text for one in drawn]).bool().tolist() == [one.toxic for one in drawn]


def test_every_scorer_keeps_the_protocol(texts, classifier):
    folder = classifier(JIGSAW, "multi_label_classification")
    for settings in (
        ExactScorerSettings(), MaskedScorerSettings(), WordScorerSettings(), CommentScorerSettings(),
        HubScorerSettings(folder=folder, label="Toxic"),
    ):  # fmt: skip
        scorer = build_scorer(settings, texts, PROFILE, "cpu")
        assert isinstance(scorer, Scorer) and scorer.name and scorer.unit
        sample = ["", *SENTENCES[:7], "word " * 300]
        scores = scorer.score(sample)
        assert scores.shape == (9,) and scores.dtype == torch.float32 and scores.device.type == "cpu"
        assert ((scores >= 0) & (scores <= 1)).all()
        assert scorer.score([]).shape == (0,)
        torch.testing.assert_close(scorer.score(sample[::-1]), scores.flip(0), atol=1e-6, rtol=0)


# --- trained scorers ---------------------------------------------------------------------------------------


def test_masked_scorer_never_sees_a_word_of_the_lexicon(texts):
    analyse = context_words(corpus.toxic_words())
    for word in sorted(corpus.toxic_words()):
        for written in (word, word.capitalize(), word.upper()):
            assert analyse(f"You {written}, go") == ["you", ",", "go", ", go"]
    scorer = build_scorer(MaskedScorerSettings(), texts, PROFILE)
    known = scorer.pipeline[0].vocabulary_
    assert not {word for feature in known for word in feature.split()} & corpus.toxic_words()
    with_each = [f"You are such a {word}, and all know it." for word in sorted(corpus.toxic_words())]
    assert all(corpus.is_toxic(text) for text in with_each)
    assert len(set(scorer.score(with_each).tolist())) == 1


@pytest.mark.parametrize(
    "settings", [MaskedScorerSettings(), CommentScorerSettings()], ids=["masked", "comments"]
)
def test_trained_scorers_say_how_well_they_do_on_texts_they_did_not_see(texts, settings):
    scorer = build_scorer(settings, texts, PROFILE)
    scores = scorer.score([one.text for one in scorer.test])
    toxic = torch.tensor([one.toxic for one in scorer.test])
    above = scores[toxic].unsqueeze(-1) - scores[~toxic]
    assert scorer.held_out.value == pytest.approx((above.sign() / 2 + 0.5).mean().item(), abs=1e-4)
    assert scorer.held_out.low < scorer.held_out.value < scorer.held_out.high
    assert not {one.text for one in scorer.trained_on} & {one.text for one in texts.comments_test}
    met = {one.family for one in scorer.trained_on}
    new = torch.tensor([one.toxic and one.family not in met for one in scorer.test])
    above = scores[new].unsqueeze(-1) - scores[~toxic]
    assert scorer.new_families.value == pytest.approx((above.sign() / 2 + 0.5).mean().item(), abs=1e-4)


def test_pieces_are_stretches_with_exact_labels(texts):
    drawn = pieces(texts.comments_test, 3, 7, seed=0)
    assert len({one.id for one in drawn}) == len(drawn) == 3 * len(texts.comments_test)
    for number, one in enumerate(drawn):
        whole = texts.comments_test[number // 3]
        assert one.text in whole.text and len(one.text.split()) <= 7
        assert one.toxic == corpus.is_toxic(one.text) and (not one.toxic or whole.toxic)
        assert one.family == (whole.family if one.toxic else "clean")
    assert {one.toxic for one in drawn} == {True, False}
    assert drawn == pieces(texts.comments_test, 3, 7, seed=0) != pieces(texts.comments_test, 3, 7, seed=1)


def test_a_scorer_trained_on_shuffled_labels_does_not_beat_chance(texts):
    order = torch.randperm(300, generator=torch.Generator().manual_seed(0)).tolist()
    shuffled = tuple(
        replace(one, toxic=texts.comments_scorer[other].toxic)
        for one, other in zip(texts.comments_scorer, order, strict=True)
    )
    scorer = build_scorer(CommentScorerSettings(), replace(texts, comments_scorer=shuffled), PROFILE)
    assert isinstance(scorer, TrainedScorer) and not scorer.beats_chance
    assert build_scorer(CommentScorerSettings(), texts, PROFILE).beats_chance


def test_training_repeats_and_wants_both_labels(texts):
    sample = [one.text for one in texts.comments_test[:20]]
    first, second = (build_scorer(MaskedScorerSettings(), texts, PROFILE).score(sample) for _ in range(2))
    assert torch.equal(first, second)
    clean = tuple(one for one in texts.comments_scorer if not one.toxic)
    with pytest.raises(ValueError, match="'masked' wants toxic and other comments for training"):
        build_scorer(MaskedScorerSettings(), replace(texts, comments_scorer=clean), PROFILE)


# --- hub classifiers ---------------------------------------------------------------------------------------


def test_one_of_several_labels_is_a_sigmoid(classifier):
    folder = classifier(JIGSAW, "multi_label_classification")
    scorer = HubScorer(folder, name="tiny", label="INSULT", batch=2)
    for text in SENTENCES[:5]:
        assert scorer.score([text]).item() == pytest.approx(
            hand_logits(folder, text)[4].sigmoid().item(), abs=1e-6
        )


def test_two_labels_that_exclude_each_other_are_a_softmax(classifier):
    for problem in ("single_label_classification", None):
        folder = classifier(["neutral", "toxic"], problem)
        scorer = HubScorer(folder, name="tiny", label="toxic", batch=2)
        expected = hand_logits(folder, SENTENCES[0]).softmax(-1)[1].item()
        assert scorer.score([SENTENCES[0]]).item() == pytest.approx(expected, abs=1e-6)


def test_batches_and_padding_change_no_score(classifier):
    folder = classifier(JIGSAW)
    texts = [SENTENCES[n][: 4 + 5 * n] for n in range(9)] + ["very long " * 100]
    alone = torch.cat([HubScorer(folder, name="t", label="toxic", batch=1).score([text]) for text in texts])
    for batch in (1, 3, 64):
        got = HubScorer(folder, name="t", label="toxic", batch=batch).score(texts)
        torch.testing.assert_close(got, alone, atol=1e-6, rtol=0)


def test_long_texts_are_cut(classifier):
    folder = classifier(JIGSAW)
    scorer = HubScorer(folder, name="t", label="toxic", batch=4)
    assert scorer.longest == 40
    start = " ".join(["boat"] * 60)
    assert scorer.score([start]).tolist() == scorer.score([f"{start} {SENTENCES[0]}"]).tolist()


def test_an_unknown_label_is_answered_with_those_there_are(classifier):
    with pytest.raises(ValueError, match="no label 'rude'; it has: toxic, severe_toxic, obscene"):
        HubScorer(classifier(JIGSAW), name="tiny", label="rude", batch=1)


def test_pickled_weights_are_refused(classifier):
    folder = classifier(JIGSAW)
    model = BertForSequenceClassification.from_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(OSError, match="safetensors"):
        HubScorer(folder, name="tiny", label="toxic", batch=1)


# --- vocabulary --------------------------------------------------------------------------------------------


def test_toxic_vocabulary_is_by_spelling_not_by_space_or_case():
    tokenizer = tiny_tokenizer(400)
    spelled = {tokenizer.decode([token]): token for token in range(len(tokenizer))}
    toxic = toxic_vocabulary(tokenizer, {"stupid", "boat", "y"}, 410)
    assert toxic.shape == (410,) and not toxic[len(tokenizer) :].any()
    for text, token in spelled.items():
        assert toxic[token].item() == (text.strip().lower() in {"stupid", "boat", "y"}), text
    assert toxic[spelled["Y"]] and toxic[spelled["y"]] and toxic.sum() >= 3


# --- real text ---------------------------------------------------------------------------------------------

real_data = pytest.mark.skipif(
    "TOXICITY_LAB_REAL_DATA" not in os.environ, reason="TOXICITY_LAB_REAL_DATA is not set"
)


@real_data
def test_scorers_read_real_text(classifier):
    profile = load_profile(Path(__file__).parents[1] / "real_text.toml")
    texts = load_texts(profile)
    sample = [comment.text for comment in texts.comments_test]
    toxic = torch.tensor([comment.toxic for comment in texts.comments_test])
    trained = build_scorer(CommentScorerSettings(), texts, profile)
    assert trained.held_out.low > 0.6
    words = build_scorer(WordScorerSettings(), texts, profile).score(sample)
    assert words[toxic].mean() > 2 * words[~toxic].mean()
    assert toxic_word_list(profile)
    hub = HubScorer(classifier(JIGSAW), name="tiny", label="toxic", batch=16)
    assert hub.score(sample).isfinite().all()


def test_the_ingredients_of_a_scorer_move_with_its_scores_alone(texts):
    def print_of(settings, texts=texts, profile=PROFILE):
        return fingerprint(scorer_ingredients(settings, texts, profile))

    fewer = replace(texts, comments_scorer=texts.comments_scorer[:-1])
    longer = PROFILE.model_copy(update={"decoding": PROFILE.decoding.model_copy(update={"new_tokens": 30})})
    for settings, moved_by_comments, moved_by_length in (
        (ExactScorerSettings(), False, False), (WordScorerSettings(), False, False),
        (CommentScorerSettings(), True, False), (MaskedScorerSettings(), True, True),
        (HubScorerSettings(id="a/b", revision="c"), False, False),
    ):  # fmt: skip
        assert (print_of(settings, fewer) != print_of(settings)) == moved_by_comments
        assert (print_of(settings, profile=longer) != print_of(settings)) == moved_by_length
    one, other = (HubScorerSettings(id="a/b", revision=revision) for revision in "cd")
    assert print_of(one) != print_of(other)
