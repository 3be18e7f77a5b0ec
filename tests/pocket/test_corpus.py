"""The corpus keeps its promises: labels, splits, probabilities, grammar."""

import math
import random
import re
from collections import Counter

import pytest

from helpers.pocket import corpus, grammar
from helpers.pocket.nodes import Chain, Pen, probability, template

FRESH = 987_654


@pytest.fixture(scope="module")
def documents():
    return corpus.written(1500, split="train", seed=FRESH)


def test_scorer_agrees_with_the_generator_on_every_sentence(documents):
    checked = Counter()
    for document in documents:
        tones = [(start, end, value) for start, end, kind, value in document.marks if kind == "tone"]
        for start, end, kind, _ in document.marks:
            if kind != "sentence":
                continue
            labels = {value for at, to, value in tones if start <= at and to <= end}
            drawn = {value.removeprefix("toxic:") for value in labels if value.startswith("toxic:")}
            found = {span.family for span in corpus.find_toxic(document.text[start:end])}
            assert bool(drawn) == bool(found), document.text[start:end]
            assert drawn <= found, document.text[start:end]
            checked[bool(drawn)] += 1
    assert checked[True] > 300 and checked[False] > 3000


def test_unseen_frames_and_families_are_labelled_right_too():
    rng = random.Random(FRESH)
    for frame in grammar.FRAMES:
        node = grammar.framed(frame, "hostile", tuple(frame.families))
        for _ in range(40):
            pen = Pen(rng)
            node.draw(pen)
            tone = next(value for _, _, kind, value in pen.marks if kind == "tone")
            assert corpus.is_toxic(pen.text) == tone.startswith("toxic:"), pen.text


def test_an_ending_alone_is_scored_like_the_whole_sentence(documents):
    # downstream, only the continuation is scored
    for document in documents:
        for start, end, kind, value in document.marks:
            if kind == "tone":
                assert corpus.is_toxic(document.text[start:end]) == value.startswith("toxic:")


def test_splitting_a_document_gives_back_its_sentences(documents):
    for document in documents:
        marks = [(start, end) for start, end, kind, _ in document.marks if kind == "sentence"]
        outer = [
            (s, e) for s, e in marks if not any((a, b) != (s, e) and a <= s and e <= b for a, b in marks)
        ]
        assert corpus.sentences(document.text) == [document.text[start:end] for start, end in outer]


def test_everything_drawn_is_well_formed(documents):
    for sentence in {s for document in documents[:300] for s in corpus.sentences(document.text)}:
        assert corpus.well_formed(sentence), sentence


@pytest.mark.parametrize("broken", [
    "You are such clown.", "You are such a idiot.", "The baker is new at the harbour", "", "Hello there.",
    "The oven was cleaned by the harbour on Monday.", "Anna: You are such a clown. You are such a clown.",
])  # fmt: skip
def test_what_the_grammar_cannot_write_is_not_well_formed(broken):
    assert not corpus.well_formed(broken)


def test_shuffled_sentences_are_not_well_formed(documents):
    rng = random.Random(0)
    for document in documents[:60]:
        words = corpus.sentences(document.text)[1].split()
        shuffled = words[:]
        rng.shuffle(shuffled)
        if shuffled != words:
            assert not corpus.well_formed(" ".join(shuffled))


def test_log_probability_is_finite_on_every_draw_and_minus_infinity_elsewhere(documents):
    values = [corpus.log_probability(document.text) for document in documents[:300]]
    assert all(-200 < value < 0 for value in values)
    assert corpus.log_probability(documents[0].text + "x") == -math.inf
    assert corpus.log_probability("You are") == -math.inf


@pytest.mark.parametrize("split", ["train", "perplexity"])
def test_a_split_has_each_kind_of_document_as_often_as_the_grammar_says(split):
    drawn = corpus.written(8000, split=split, seed=FRESH)
    counts = Counter((document.genre, document.mood) for document in drawn)
    shares: Counter = Counter()
    for genre, mood, share, _, _ in grammar.documents():
        shares[genre, mood] += share
    for kind, share in shares.items():
        assert counts[kind] / 8000 == pytest.approx(share, abs=0.012), kind
    assert sum(kind[2] for kind in grammar.documents()) == pytest.approx(1.0)


def test_toxic_share_of_first_frames_follows_mood_and_rate():
    tally = Counter()
    for document in corpus.written(6000, split="train", seed=1):
        first = next((value for _, _, kind, value in document.marks if kind == "tone"), None)
        if first:
            tally[document.mood, first.startswith("toxic")] += 1
    share = {mood: tally[mood, True] / (tally[mood, True] + tally[mood, False]) for mood in grammar.MOODS}
    assert 0.45 < share["hostile"] < 0.6
    assert share["friendly"] <= 0.02 and share["neutral"] <= 0.02


def test_prompt_rate_is_what_bayes_gives_over_all_moods():
    frames = {frame.name: frame for frame in grammar.FRAMES}
    for mood in grammar.MOODS:
        for prompt in corpus.prompts(15, mood=mood, split="dev", seed=FRESH):
            frame = frames[prompt.frame]
            masses = {}
            for other, weight in grammar.MOOD_WEIGHTS.items():
                before = [grammar.opening(prompt.genre, other), grammar.before_frame(prompt.genre)]
                prefix = Chain([*before, template(frame.prefix, grammar.slot)])
                masses[other] = weight * probability(prefix, prompt.text)
            rate = sum(mass * grammar.toxic_rate(frame, other) for other, mass in masses.items())
            assert prompt.toxic_rate == pytest.approx(rate / sum(masses.values()))


def test_prompts_are_clean_short_distinct_and_stop_at_a_cut():
    for mood in grammar.MOODS:
        prompts = corpus.prompts(200, mood=mood, split="eval", seed=0)
        assert len({prompt.text for prompt in prompts}) == len({prompt.id for prompt in prompts}) == 200
        for prompt in prompts:
            assert not corpus.is_toxic(prompt.text)
            assert len(re.findall(r"\w+|[^\w\s]|\n", prompt.text)) <= 64
            assert not prompt.text.endswith(" ") and prompt.mood == mood


def test_splits_are_disjoint_even_with_equal_seeds():
    prompts = {
        split: {p.text for mood in grammar.MOODS for p in corpus.prompts(150, mood=mood, split=split, seed=0)}
        for split in ("dev", "eval", "pair")
    }
    texts = {
        split: set(corpus.plain_text(1500, split=split, seed=0))
        for split in ("train", "perplexity", "passages")
    }
    comments = {
        split: {c.text for c in corpus.comments(400, split=split, seed=0)}
        for split in ("train", "test", "matched", "scorer")
    }
    every = [*prompts.values(), *texts.values(), *comments.values()]
    for i, one in enumerate(every):
        for other in every[i + 1 :]:
            assert one.isdisjoint(other)
    for prompt in set().union(*prompts.values()):
        assert not any(text.startswith(prompt) for text in texts["train"])


def test_corpus_is_deterministic_and_seeds_differ():
    assert corpus.plain_text(20, split="train", seed=3) == corpus.plain_text(40, split="train", seed=3)[:20]
    assert corpus.plain_text(20, split="train", seed=3) != corpus.plain_text(20, split="train", seed=4)
    assert corpus.comments(20, split="test", seed=3) == corpus.comments(20, split="test", seed=3)
    one, other = (corpus.prompts(20, mood="hostile", split="dev", seed=seed) for seed in (0, 0))
    assert one == other


def test_nothing_before_the_first_frame_tells_the_temper():
    for tempers in grammar.TEMPERS.values():
        shares, factors = zip(*tempers.values(), strict=True)
        assert sum(shares) == pytest.approx(1)
        assert sum(map(math.prod, zip(shares, factors, strict=True))) == pytest.approx(1)
        highest = max(frame.rate for frame in grammar.FRAMES)
        assert max(factors) * highest < 1


def test_toxic_sentences_come_together():
    tally = Counter()
    for document in corpus.written(6000, split="train", seed=2):
        tones = [value.startswith("toxic") for _, _, kind, value in document.marks if kind == "tone"]
        if document.mood == "hostile" and len(tones) > 1:
            tally[tones[0], tones[1]] += 1
    again = tally[True, True] / (tally[True, True] + tally[True, False])
    after_civil = tally[False, True] / (tally[False, True] + tally[False, False])
    assert again > after_civil + 0.3


def test_matched_comments_are_all_hostile():
    found = corpus.comments(200, split="matched", seed=0)
    assert {comment.mood for comment in found} == {"hostile"}
    assert sum(comment.toxic for comment in found) == 100


def test_comments_have_the_moods_of_the_corpus():
    clean = Counter(c.mood for c in corpus.comments(2000, split="train", seed=3) if not c.toxic)
    drawn = [d for d in corpus.written(12_000, split="train", seed=3) if d.genre == "comment"]
    own = Counter(d.mood for d in drawn if not corpus.is_toxic(d.text))
    for mood in grammar.MOODS:
        assert clean[mood] / clean.total() == pytest.approx(own[mood] / own.total(), abs=0.07)


def test_comments_are_balanced_and_labelled():
    for split in ("train", "test", "scorer", "matched"):
        found = corpus.comments(400, split=split, seed=2)
        assert sum(comment.toxic for comment in found) == 200
        for comment in found:
            assert comment.toxic == corpus.is_toxic(comment.text)
            assert comment.toxic == (comment.family is not None)


def test_held_out_comments_show_what_training_comments_do_not():
    uses = {frame.name: frame.use for frame in grammar.FRAMES}
    seen = {split: corpus.comments(800, split=split, seed=0) for split in ("train", "scorer", "test")}
    shown = {(c.frame, c.family) for split in ("train", "scorer") for c in seen[split]}
    assert {c.held_out for c in seen["test"]} == {"", "frame", "combination", "family"}
    assert {c.held_out for c in seen["train"]} == {""}
    for comment in seen["test"]:
        if comment.held_out == "frame":
            assert uses[comment.frame] == "unseen"
        if comment.held_out == "combination" and comment.toxic:
            assert (comment.frame, comment.family) not in shown
        if comment.held_out == "family" and comment.toxic:
            assert comment.family not in {family for _, family in shown}
    assert {uses[c.frame] for c in seen["scorer"]} == {"scorer"}
    assert {c.frame for c in seen["scorer"]}.isdisjoint(
        {p.frame for p in corpus.prompts(300, mood="hostile", split="eval", seed=0)}
    )


def test_training_text_lacks_the_unseen(documents):
    uses = {frame.name: frame for frame in grammar.FRAMES}
    for document in documents:
        frame = None
        for _, _, kind, value in document.marks:
            if kind == "sentence":
                frame = uses.get(value)
                assert frame is None or frame.use != "unseen"
            if kind == "tone" and frame and value.startswith("toxic:"):
                assert value != f"toxic:{frame.unseen}"


def test_grammar_is_as_rich_as_promised():
    assert len(grammar.GENRES) + len(grammar.BACKGROUND) >= 9
    assert len(grammar.FRAMES) >= 40
    assert {family for frame in grammar.FRAMES for family in frame.families} == {
        "insult", "contempt", "oath", "ridicule", "threat"}  # fmt: skip
    assert 50 <= len(corpus.toxic_words()) <= 70
    for frame in grammar.FRAMES:
        assert frame.families and frame.critical and frame.kind and frame.plain
        assert not frame.unseen or len(frame.families) > 1
        endings = (
            *frame.critical,
            *frame.kind,
            *frame.plain,
            *(e for group in frame.families.values() for e in group),
        )
        assert all(ending.startswith(" ") for ending in endings)


@pytest.mark.parametrize("call", [
    lambda: corpus.prompts(1, mood="sad", split="dev", seed=0),
    lambda: corpus.prompts(1, mood="hostile", split="train", seed=0),
    lambda: corpus.comments(1, split="dev", seed=0),
    lambda: corpus.plain_text(1, split="dev", seed=0),
])  # fmt: skip
def test_unknown_splits_and_moods_are_refused(call):
    with pytest.raises(ValueError, match="must be"):
        call()
