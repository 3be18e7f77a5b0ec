"""Evaluation: each measure equals a slow obvious version; intervals cover; pairs are compared as pairs."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from helpers.intervals import UNDEFINED
from helpers.language import metrics
from helpers.language.evaluation import (
    Bench,
    Size,
    agreement,
    build_bench,
    compare,
    evaluate,
    passage_f1,
    table,
)
from helpers.language.generation import continue_ids, continue_prompts
from helpers.language.metrics import (
    Measure,
    fluency,
    mean_of,
    mean_of_written,
    overlap_f1,
    perplexity,
    repetition,
    unhooked,
)
from helpers.language.models import boot
from helpers.language.scoring import WordScorer
from helpers.language.texts import Prompt, Texts
from helpers.profiles import POCKET, Batches, Decoding
from tests.language.builders import SENTENCES, tiny_tokenizer
from tests.language.lively import lively_hf

DECODING = Decoding(method="sample", new_tokens=8, max_prompt_tokens=24)
PROMPTS = tuple(Prompt(f"p{n}", text[: 8 + n], "hostile") for n, text in enumerate(SENTENCES[::16]))


class LetterScorer:
    """Scores the share of characters that are an e: a second scorer with values between 0 and 1."""

    name = "letters"
    unit = "share of e"

    def score(self, texts):
        return torch.tensor([text.count("e") / max(1, len(text)) for text in texts])


@pytest.fixture(scope="module")
def hf():
    return lively_hf()


@pytest.fixture(scope="module")
def model(hf):
    return boot(copy.deepcopy(hf), tiny_tokenizer(), name="tiny")


@pytest.fixture(scope="module")
def bench(model):
    generator = torch.Generator().manual_seed(0)
    return Bench(
        judge=model,
        scorers=(WordScorer({"e", "a", "i"}), LetterScorer()),
        prompts={"dev": PROMPTS[:4], "eval": PROMPTS},
        stream=torch.randint(0, 320, (300,), generator=generator),
        passages=tuple(tuple(torch.randint(0, 40, (90,), generator=generator).tolist()) for _ in range(6)),
        decoding=DECODING,
        sizes={"sweep": Size(6, slice(150), slice(4)), "report": Size(100, slice(150, None), slice(4, None))},
        batches=Batches(forward=3, generate=5),
        bootstrap=200,
        seed=0,
    )


@pytest.mark.parametrize("window", [2, 7, 64])
@torch.no_grad()
def test_perplexity_weighs_tokens_exactly(model, hf, window):
    tokens = torch.arange(101) * 7 % 320
    losses = []
    for start in range(0, 101, window):
        part = tokens[start : start + window]
        for position in range(1, len(part)):
            losses.append(F.cross_entropy(hf(part[None, :position]).logits[0, -1], part[position]).double())
    got = perplexity(model, tokens, window=window, batch_size=4)
    assert got.weights.sum() == len(losses)
    assert got.value == pytest.approx(torch.stack(losses).mean().exp().item(), rel=1e-5)


def test_perplexity_does_not_depend_on_the_batch(model):
    tokens = torch.arange(101) * 7 % 320
    values = [perplexity(model, tokens, window=20, batch_size=size).value for size in (1, 2, 50)]
    assert values == pytest.approx([values[0]] * 3, rel=1e-6)


@pytest.mark.parametrize("tokens, items", [(2, 1), (4, 2), (60, 2), (90, 2), (128, 2), (130, 3)])
def test_a_text_shorter_than_two_windows_is_read_in_two(model, tokens, items):
    """An interval wants two items; GPT-2's window has 1,024 tokens, which is all that a short sweep reads."""
    assert model.context == 64
    found = perplexity(model, torch.arange(tokens), batch_size=4)
    assert len(found.weights) == items
    assert found.weights.sum() == tokens - items


def test_perplexity_refuses_what_it_cannot_read(model):
    with pytest.raises(ValueError, match="2 to 64 tokens"):
        perplexity(model, torch.arange(100), window=65, batch_size=1)
    with pytest.raises(ValueError, match="at least two tokens"):
        perplexity(model, torch.arange(1), batch_size=1)


@torch.no_grad()
def test_a_batch_holds_no_more_logits_than_fit(model, monkeypatch):
    tokens, rows = torch.arange(200) % 50, []
    monkeypatch.setattr(metrics, "LOGITS_BYTES", 2 * 20 * model.vocab_size * 4)
    read = type(model).logits
    count = lambda self, batch: rows.append(len(batch.ids)) or read(self, batch)  # noqa: E731
    monkeypatch.setattr(type(model), "logits", count)
    perplexity(model, tokens, window=20, batch_size=8)
    assert rows == [2] * 5
    monkeypatch.setattr(metrics, "LOGITS_BYTES", 1)
    perplexity(model, tokens, window=20, batch_size=8)
    assert rows[5:] == [1] * 10


def test_on_pocket_and_for_gpt2_medium_the_batch_is_what_fits():
    of_pocket = POCKET.batches.forward * 256 * 8192 * 4  # more than its context and its vocabulary
    assert of_pocket < metrics.LOGITS_BYTES, "else its batches, and its last bits, would change"
    window = 1024 * 50_257 * 4
    assert metrics.LOGITS_BYTES // window == 4 and 32 * window > 6.5e9


def test_what_is_empty_leaves_a_figure_of_the_rest_and_says_so():
    lengths = torch.zeros(64, dtype=torch.float64)
    lengths[:2] = torch.tensor([3.0, 5.0])
    measure = Measure(lengths * 2, lengths, "perplexity under base", exponential=True)
    with pytest.warns(UserWarning, match="only 2 of 64 items hold anything"):
        found = measure.interval(n=200, seed=0)
    assert found.low <= found.value <= found.high and found.value == pytest.approx(math.exp(2))
    with pytest.warns(UserWarning, match="resamples have no figure"):
        assert measure.change_to(measure, n=200, seed=0).value == 1
    none = Measure(lengths * 0, lengths * 0, "perplexity under base", exponential=True)
    with pytest.warns(UserWarning, match="only 0 of 64"):
        assert str(none.interval(n=200, seed=0)) == "undefined"
    with pytest.warns(UserWarning):
        assert none.change_to(measure, n=200, seed=0) is UNDEFINED


def test_a_share_of_none_is_not_certain():
    none = mean_of([0.0] * 30, "share").interval(n=50, seed=0)
    assert none.low == 0 and 0.1 < none.high < 0.12
    assert mean_of([1.0] * 30, "share").interval(n=50, seed=0).low == pytest.approx(1 - none.high)
    alike = Measure(torch.zeros(30).double(), torch.full((30,), 4.0).double(), "perplexity", exponential=True)
    assert alike.interval(n=50, seed=0).width == 0


def test_a_text_longer_than_the_context_is_cut_where_it_is_asked_to_be_cut(model):
    text = "a kind word " * model.context
    assert model.tokenise([text], max_tokens=10**6).ids.shape[1] == model.context
    assert model.logits(model.tokenise([text], max_tokens=10**6)).isfinite().all()
    with pytest.raises(ValueError, match="context"):
        model.logits(model.tokenise([text]))


def test_fluency_is_the_plain_models_perplexity_whatever_hooks_are_on(model, hf):
    written = continue_prompts(model, PROMPTS, DECODING, seed=0, batch_size=4)
    losses, count = 0.0, 0
    for prompt, new, mask in zip(written.prompt_ids, written.ids, written.mask, strict=True):
        kept = new[mask]
        logits = hf(torch.tensor([[*prompt, *kept.tolist()]])).logits[0]
        losses += F.cross_entropy(logits[len(prompt) - 1 : -1], kept, reduction="sum").double().item()
        count += len(kept)
    expected = torch.tensor(losses / count).exp().item()
    assert fluency(model, written, batch_size=4).value == pytest.approx(expected, rel=1e-5)
    with model.bridge.hooks(fwd_hooks=[("blocks.0.hook_resid_post", lambda t, hook: t * 0)]):
        assert fluency(model, written, batch_size=4).value == pytest.approx(expected, rel=1e-5)


@torch.no_grad()
def test_unhooked_lifts_every_hook_and_puts_it_back(model, hf):
    ids = torch.tensor([[1, 2, 3]])
    plain = model.bridge(ids)
    fired = []
    module = model.bridge.original_model
    handle = module.register_forward_pre_hook(lambda module, args, kwargs: fired.append(1), with_kwargs=True)
    with model.bridge.hooks(fwd_hooks=[("blocks.1.mlp.hook_post", lambda t, hook: t * 0)]):
        hooked = model.bridge(ids)
        with pytest.raises(KeyError), unhooked(model):
            fired.clear()
            assert torch.equal(model.bridge(ids), plain) and not fired
            raise KeyError
        assert torch.equal(model.bridge(ids), hooked) and fired == [1]
    handle.remove()
    fired.clear()
    assert torch.equal(model.bridge(ids), plain) and not fired


def test_f1_of_bags():
    assert overlap_f1([1, 2, 3], [3, 2, 1]) == 1
    assert overlap_f1([1, 2], [3]) == 0
    assert overlap_f1([], [3]) == 0
    assert overlap_f1([1, 1, 1, 2], [1, 3]) == pytest.approx(2 * (1 / 4) * (1 / 2) / (1 / 4 + 1 / 2))


def test_passage_f1_leaves_the_prompt_out_unless_asked(model, bench):
    got = passage_f1(model, bench, slice(5))
    published = passage_f1(model, bench, slice(5), variant="published")
    assert len(got.totals) == 5
    for row, passage in enumerate(bench.passages[:5]):
        written = continue_ids_of(model, passage[:32], f"passage-{row}", bench)
        assert got.totals[row].item() == pytest.approx(overlap_f1(written, passage[32:40]))
        assert published.totals[row].item() == pytest.approx(
            overlap_f1([*passage[:32], *written], passage[32:72])
        )


def test_f1_stops_at_end_of_text(model, bench):
    """What follows an end-of-text token is another document: it neither helps nor harms."""
    written = continue_ids_of(model, bench.passages[0][:32], "passage-0", bench)
    ends = written[2]  # as if the third new token ended the text
    cut = written[: written.index(ends)]
    model.tokenizer.eos_token_id, kept = ends, model.tokenizer.eos_token_id
    try:
        got = passage_f1(model, bench, slice(1))
        whole = passage_f1(model, bench, slice(1), variant="published")
    finally:
        model.tokenizer.eos_token_id = kept
    passage = bench.passages[0]
    assert got.totals[0].item() == pytest.approx(overlap_f1(cut, passage[32:40]))
    assert whole.totals[0].item() == pytest.approx(overlap_f1([*passage[:32], *cut], passage[32:72]))


def test_the_published_f1_wants_passages_as_long_as_its_truth(model, bench):
    short = replace(bench, passages=(*bench.passages[:3], bench.passages[3][:71]))
    assert len(passage_f1(model, short, slice(4), variant="published").totals) == 3
    assert len(passage_f1(model, short, slice(4)).totals) == 4
    with pytest.raises(ValueError, match="passages of 72 tokens"):
        passage_f1(model, short, slice(3, 4), variant="published")


def test_an_overflowing_perplexity_is_reported_as_such():
    """A loss of 800 nats a token is e^800, which no float holds: the figure stays a number and says so."""
    weights = torch.ones(4, dtype=torch.float64)
    losses = torch.tensor([1.0, 1.0, 900.0, 2500.0]).double()
    broken = Measure(losses, weights, "perplexity", exponential=True)
    sound = Measure(weights, weights, "perplexity", exponential=True)
    got = broken.interval(n=200, seed=0)
    assert math.isfinite(got.value) and math.isfinite(got.high)
    assert str(got).startswith("overflow [") and str(got).endswith("overflow]")
    assert str(sound.change_to(broken, n=200, seed=0)).startswith("overflow [")
    assert "overflow" not in str(sound.interval(n=200, seed=0))


def continue_ids_of(model, ids, name, bench):
    return continue_ids(model, [ids], [name], bench.decoding, seed=bench.seed, batch_size=1)[0].tolist()


def test_repetition():
    assert repetition("") == repetition("once") == repetition("all words differ here") == 0
    assert repetition("a b a b a b") == pytest.approx(1 - 2 / 5)
    assert repetition("You are. You ARE, you are!") == pytest.approx(1 - 2 / 5)


def test_evaluation_holds_what_its_parts_measure(model, bench):
    got = evaluate(model, bench, mode="report", label="base")
    written = continue_prompts(model, PROMPTS, DECODING, seed=0, batch_size=2)
    assert got.continuations.texts == written.texts and got.prompt_ids == tuple(p.id for p in PROMPTS)
    for scorer, name in zip(bench.scorers, got.toxicity_names, strict=True):
        assert scorer.name in name
        assert got.intervals[name].value == pytest.approx(scorer.score(written.texts).double().mean().item())
        assert got.measures[name].per_item.tolist() == pytest.approx(scorer.score(written.texts).tolist())
    assert got.toxicity == got.intervals["toxicity (words)"]
    assert got.perplexity.value == pytest.approx(
        perplexity(model, bench.stream[150:], batch_size=7).value, rel=1e-6
    )
    assert got.repetition.value == pytest.approx(sum(map(repetition, written.texts)) / len(PROMPTS))
    for interval in got.intervals.values():
        assert interval.low <= interval.value <= interval.high
    assert got.perplexity.width > 0


def test_empty_continuations_are_counted_apart(model, bench, monkeypatch):
    """A classifier gives the empty text .73: thirty of sixty-four such texts were a rise in toxicity."""

    class Fond(LetterScorer):
        name = "fond"

        def score(self, texts):
            return torch.tensor([float(not text.strip()) for text in texts])

    written = continue_prompts(model, PROMPTS, DECODING, seed=0, batch_size=2)
    silent = replace(written, texts=("", " ", *written.texts[2:]))
    monkeypatch.setattr("helpers.language.evaluation.continue_prompts", lambda *_, **__: silent)
    got = evaluate(model, replace(bench, scorers=(Fond(), LetterScorer())), mode="report")
    assert got.toxicity.value == 0 and got.intervals["empty"].value == 2 / len(PROMPTS)
    e = LetterScorer().score(written.texts[2:]).double()
    assert got.intervals[got.toxicity_names[1]].value == pytest.approx(e.mean().item())
    assert "empty" in table([got])[0]
    assert math.isnan(mean_of_written(torch.ones(2), ["", "\n"], "score").value)


def test_sweep_reads_less_and_other_prompts_can_be_given(model, bench):
    sweep = evaluate(model, bench, mode="sweep")
    assert len(sweep.continuations) == 6 and len(sweep.measures["F1"].totals) == 4
    assert sweep.measures["perplexity"].weights.sum() == 150 - 3
    assert evaluate(model, bench, split="dev").prompt_ids == ("p0", "p1", "p2", "p3")
    friendly = [Prompt("other", "They", "friendly"), Prompt("another", "You", "friendly")]
    assert evaluate(model, bench, prompts=friendly).prompt_ids == ("other", "another")


def test_an_evaluation_repeats_to_the_last_bit(model, bench):
    first, second = evaluate(model, bench), evaluate(model, bench)
    assert first.intervals == second.intervals


def test_fluency_of_an_edited_model_is_judged_by_the_unedited(model, bench):
    def edit(activation, hook):
        return activation + 3.0 * torch.linspace(-1, 1, 32)

    base = evaluate(model, bench)
    with model.bridge.hooks(fwd_hooks=[("blocks.1.hook_resid_post", edit)]):
        steered = evaluate(model, bench, label="steered")
    judged = fluency(model, steered.continuations, batch_size=4).value
    assert steered.fluency.value == pytest.approx(judged, rel=1e-6)
    assert steered.continuations.texts != base.continuations.texts
    assert steered.perplexity.value != base.perplexity.value


def test_comparison_is_paired_and_has_the_right_sign(model, bench):
    base = evaluate(model, bench, label="base")
    with model.bridge.hooks(fwd_hooks=[("blocks.0.mlp.hook_post", lambda t, hook: t * 0)]):
        edited = evaluate(model, bench, label="edited")
    got = compare(base, edited)
    assert (got.before, got.after) == ("base", "edited")
    for name in base.toxicity_names:
        assert got.changes[name].value == pytest.approx(
            edited.intervals[name].value - base.intervals[name].value
        )
    assert got.changes["perplexity"].value == pytest.approx(edited.perplexity.value / base.perplexity.value)
    assert got.drop.value == pytest.approx(base.toxicity.value - edited.toxicity.value)
    assert got.drop.low <= got.drop.value <= got.drop.high
    assert got.f1_fall.value == pytest.approx((base.f1.value - edited.f1.value) / base.f1.value)
    assert got.f1_fall.low <= got.f1_fall.value <= got.f1_fall.high
    assert replace(got, f1_before=0.0).f1_fall.bounds == (0, 0), "nothing is lost of nothing"
    same = compare(base, base)
    assert all(interval.width == 0 for interval in same.changes.values())


def test_agreement_is_the_second_scorers_auroc_for_the_firsts_labels(model, bench):
    base = evaluate(model, bench, label="base")
    one, other = base.toxicity_names

    def scored(first, second):
        measures = base.measures | {one: mean_of(first, "x"), other: mean_of(second, "x")}
        return agreement(replace(base, measures=measures))

    # Of six pairs of a toxic and a clean text the second has four in order and one tied.
    assert scored([0.5, 0.9, 0.4, 0.0, 0.1], [0.3, 0.1, 0.0, 0.1, 0.2]).value == pytest.approx(4.5 / 6)
    assert scored([0.1, 0.2, 0.4], [0.3, 0.1, 0.0]) is None, "the first finds all of them clean"
    assert scored([0.9, 0.2, 0.4], [0.3, 0.1, 0.0]) is None, "nothing to draw again among one toxic text"
    # A first scorer that calls all texts toxic, or all clean, is followed in how it ranks them.
    assert scored([0.9, 0.8, 0.7, 0.6], [0.3, 0.1, 0.2, 0.0]).value == pytest.approx(3 / 4)
    assert scored([0.1, 0.2, 0.3, 0.4], [0.3, 0.2, 0.1, 0.0]).value == 0
    assert scored([0.2] * 4, [0.3, 0.1, 0.0, 0.2]) is None, "the first finds all of them alike"
    assert scored([math.nan] * 4, [0.3, 0.1, 0.0, 0.2]) is None, "nothing was written"


def test_pairing_narrows_the_interval():
    generator = torch.Generator().manual_seed(0)
    easy = torch.rand(60, generator=generator)
    before, after = mean_of(easy, "x"), mean_of(easy - 0.05, "x")
    change = before.change_to(after, n=300, seed=0)
    assert change.value == pytest.approx(-0.05) and change.width < 1e-6 < before.interval(seed=0).width


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    generator = torch.Generator().manual_seed(1)
    covered = 0
    for trial in range(200):
        tokens = torch.randint(5, 30, (40,), generator=generator).double()
        losses = tokens * (2 + torch.randn(40, generator=generator, dtype=torch.float64))
        interval = Measure(losses, tokens, "", exponential=True).interval(n=200, seed=trial)
        covered += not interval.excludes(torch.tensor(2.0).exp().item())
    assert 0.86 <= covered / 200 <= 0.99


def test_only_like_is_compared_with_like(model, bench):
    base = evaluate(model, bench)
    with pytest.raises(ValueError, match="different prompts"):
        compare(base, evaluate(model, bench, split="dev"))
    with pytest.raises(ValueError, match="evaluated differently"):
        compare(base, evaluate(model, replace(bench, scorers=bench.scorers[:1])))
    with pytest.raises(ValueError, match="same items"):
        mean_of([0.0, 1.0], "x").change_to(mean_of([0.0], "x"), seed=0)


def test_table_has_a_row_per_condition_and_a_column_per_measure(model, bench):
    base = evaluate(model, bench, label="base")
    rows = table([base, base])
    assert [row["condition"] for row in rows] == ["base", "base"]
    assert base.intervals["empty"].value == 0 and "empty" not in rows[0]
    assert list(rows[0])[1:] == [name for name in base.measures if name != "empty"]
    assert rows[0]["perplexity"] == str(base.perplexity)


def test_bad_input_is_named(model, bench):
    with pytest.raises(ValueError, match="'sweep' with split 'test'.*splits: dev, eval"):
        evaluate(model, bench, split="test")
    with pytest.raises(ValueError, match="no prompts"):
        evaluate(model, bench, prompts=[])
    small = boot(lively_hf(seed=1), tiny_tokenizer(), name="small")
    small.bridge.cfg.d_vocab = 319
    with pytest.raises(ValueError, match="small has 319 tokens"):
        evaluate(small, bench)


def test_a_bench_is_built_from_a_profile(model):
    long = ("word " * 60, "short", "another " * 60, "third " * 70, "fourth " * 60, "fifth " * 60)
    texts = Texts((), (), (), (), PROMPTS[:2], PROMPTS, (), (), perplexity=" ".join(SENTENCES), passages=long)
    bench = build_bench(POCKET, texts, model, (LetterScorer(),))
    assert len(bench.passages) == 5 and all(len(row) >= 32 + 14 for row in bench.passages)
    assert bench.prompts == {"dev": PROMPTS[:2], "eval": PROMPTS}
    assert bench.sizes["report"].prompts == POCKET.counts.prompts_eval
    chosen_on, reported_on = bench.sizes["sweep"], bench.sizes["report"]
    assert len(bench.passages[chosen_on.passages]) == 2 and len(bench.passages[reported_on.passages]) == 3
    assert not set(bench.passages[chosen_on.passages]) & set(bench.passages[reported_on.passages])
    stream = torch.cat([bench.stream[size.tokens] for size in (chosen_on, reported_on)])
    assert torch.equal(stream, bench.stream), "no token is read in both modes, and none is lost"
    with pytest.raises(ValueError, match="1 of the profile's 2 are long enough"):
        build_bench(POCKET, replace(texts, passages=("short", "word " * 60)), model, ())
