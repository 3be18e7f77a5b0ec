"""The explorer: its figures by slow obvious ways, its controls without a page, what a reader may type."""

import copy
import gc
import html
import json
import re
from dataclasses import replace
from types import SimpleNamespace

import ipywidgets
import numpy as np
import pytest
import torch

from helpers.language.generation import continue_prompts
from helpers.language.models import boot, count_hooks
from helpers.language.texts import Prompt
from helpers.mechanism.vectors import Neuron
from helpers.teaching.exercises.checks import close
from helpers.teaching.explorer import NeuronExplorer, Refused, State
from helpers.teaching.explorer import session as sessions
from helpers.teaching.explorer.atlas import KEPT, relatives
from helpers.teaching.explorer.digits import digits, percent
from helpers.teaching.explorer.state import Edit, jump
from helpers.teaching.explorer.trials import DRAWS, PROMPTS, TRIED, most_changed, spread
from helpers.teaching.explorer.views import contexts, reading_view
from helpers.teaching.explorer.widget import OPEN
from tests.language.builders import SENTENCES, tiny_hf
from tests.teaching.explorer_lab import fake_lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    return fake_lab(tiny_hf(), tmp_path_factory.mktemp("build"))


@pytest.fixture
def explorer(lab):
    opened = NeuronExplorer(lab)
    yield opened
    opened.close()
    OPEN.clear()


def press(explorer, name):
    """Presses a button, as a page does; what went wrong is raised here, where ipywidgets would log it."""
    buttons = {**explorer.buttons, **{str(n): one for n, one in enumerate(explorer.stops, start=1)}}
    buttons[name].click()
    if explorer.failure:
        raise explorer.failure


def words_of(view):
    return html.unescape(re.sub(r"<style>.*?</style>|<[^>]+>", " ", view, flags=re.DOTALL))


# --- figures ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("shared", [True, False])
def test_a_card_says_what_the_model_does(lab, explorer, shared):
    neuron = Neuron(1, 7)
    explorer.set(neuron=str(neuron), shared=shared)
    card, direction = explorer.card(), lab.measures.fit_probe().direction
    means, along = {}, {}
    for name, model in {"base": lab.base, "aligned": lab.statistics.model("matched")}.items():
        tokens = lab.statistics.texts("base" if name == "base" or shared else "matched")[0]
        values = []
        for row, mask in zip(tokens.ids, tokens.mask, strict=True):
            _, cache = model.bridge.run_with_cache(row[mask][None])
            values += cache["blocks.1.mlp.hook_post"][0, 1:, 7].tolist()
        means[name], vector = np.mean(values), model.value_vector(neuron)
        along[name] = float(vector @ direction / direction.norm())
        assert getattr(card, name) == pytest.approx(means[name], abs=1e-5)
        counts, _ = np.histogram(np.clip(values, -0.199, 3.75), bins=np.arange(41) * 0.1 - 0.2)
        assert np.abs(counts / len(values) - card.histogram[name]).sum() <= 2.1 / len(values)
        cosine = card.cosine["W"][name == "aligned"]
        assert cosine == pytest.approx(along[name] / float(vector.norm()), abs=1e-5)
        writer = "base" if name == "base" or shared else "aligned"
        kept = [one for one in card.contexts if one.end == "most" and one.written == writer]
        tops = [one.base if name == "base" else one.aligned for one in kept]
        assert max(value for line in tops for value in line) == pytest.approx(max(values), abs=1e-4)
    assert card.whole == pytest.approx(
        means["base"] * along["base"] - means["aligned"] * along["aligned"], abs=1e-5
    )
    assert card.activation + card.value + card.interaction == pytest.approx(card.whole, abs=1e-9)
    better = sum(value > card.whole for value in explorer.table()["whole"])
    assert (card.rank, card.neurons) == (better + 1, lab.base.n_layers * lab.base.d_mlp)


def test_words_are_those_that_move_the_logits_most(lab, explorer):
    card, model = explorer.card(), lab.base
    vector = model.value_vector(jump(card.neuron))
    logits = (vector - vector.mean()) * model.bridge.ln_final.weight @ model.bridge.W_U
    used = lab.measures.used_tokens.nonzero().flatten().tolist()
    best = sorted(used, key=lambda token: -float(logits[token]))[: len(card.promoted)]
    assert [word.text for word in card.promoted] == list(explorer.words(best))
    assert card.promoted[0].base == pytest.approx(float(logits[best[0]]), rel=1e-4)
    worst = min(used, key=lambda token: float(logits[token]))
    assert card.suppressed[0].text == explorer.words([worst])[0]


def test_how_far_a_token_is_raised_is_counted_in_standard_deviations(lab, explorer):
    used, token = lab.measures.used_tokens, int(lab.measures.used_tokens.nonzero()[3])
    raised, model = explorer.session.atlas.raises(token), lab.base
    for neuron in (Neuron(0, 3), Neuron(1, 99)):
        vector = model.value_vector(neuron)
        logits = ((vector - vector.mean()) * model.bridge.ln_final.weight @ model.bridge.W_U)[used]
        own = ((vector - vector.mean()) * model.bridge.ln_final.weight @ model.bridge.W_U)[token]
        wanted = float((own - logits.mean()) / logits.std(correction=0))
        assert float(raised[neuron.layer, neuron.index]) == pytest.approx(wanted, abs=1e-3)


def test_neighbours_are_nearest_and_never_itself(lab, explorer):
    card, values = explorer.card(), lab.base.value_vectors
    own = values[card.layer, card.index]
    cosine = torch.cosine_similarity(values, own, dim=-1).flatten().sort(descending=True).values
    assert [one.cosine for one in card.neighbours] == pytest.approx(cosine[1:6].tolist(), abs=1e-5)
    assert card.neuron not in [one.neuron for one in card.neighbours]


def test_a_text_is_read_as_the_models_read_it(lab, explorer):
    explorer.set(text="You painted the boat", neuron="L0.5")
    session = explorer.session
    reading = session.atlas.read_text(session.neuron, session.ids("You painted the boat"))
    ids = torch.tensor([session.ids("You painted the boat")])
    for name, model in session.atlas.models.items():
        _, cache = model.bridge.run_with_cache(ids)
        assert close(torch.tensor(getattr(reading, name)), cache["blocks.0.mlp.hook_post"][0, :, 5])
    shown = words_of(reading_view(reading))
    for value in (*reading.base, *reading.aligned):
        assert digits(value, 2) in shown, "every colour is a number too"


def test_both_models_and_all_rows_are_on_one_scale(explorer):
    card = explorer.card()
    view = contexts(card, "both")
    strongest = max(abs(value) for one in card.contexts for value in (*one.base, *one.aligned))
    assert f"from ±{digits(strongest, signed=False)} on" in view
    full = re.findall(r"rgba\([\d,]+,0\.70\)' title='([^']+)'", view)
    assert full and {one.strip("+−") for one in full} >= {digits(strongest, signed=False)}
    gaps = [
        after - before
        for one in card.contexts
        for before, after in zip(one.base, one.aligned, strict=True)
    ]
    assert digits(max(gaps, key=abs)) in contexts(card, "difference")


def test_digits_are_fixed_and_signed():
    assert [digits(x) for x in (0.4216, -0.0234, 1e-5, -1e-5, float("nan"))] == [
        "+0.422", "−0.023", "0.000", "0.000", "–"
    ]  # fmt: skip
    assert digits(1234.5, 1, signed=False) == "1,234.5" and percent(0.0213) == "2.1 %"
    assert digits(float("-inf")) == "−∞"


# --- other trainings --------------------------------------------------------------------------------------
def test_other_seeds_stand_beside_the_first(lab, explorer):
    assert "Not read" in explorer.snapshot("neuron").html
    assert explorer.read_seeds() == [0, 1]
    card = explorer.card()
    other = lab.attribution.attribute("matched", seed=1)
    assert card.seeds[1].whole == pytest.approx(float(other.whole[card.layer, card.index]))
    assert digits(card.seeds[1].whole, 4) in explorer.snapshot("neuron").html


def test_a_twin_moves_the_same_words_and_a_stranger_is_no_family(lab, explorer, monkeypatch):
    assert explorer.read_family() == [], "other tokens, so nothing to compare"
    assert relatives(lab.profile) and not relatives(
        lab.profile.model_copy(update={"model": lab.profile.model.model_copy(update={"untrained": 5})})
    )
    monkeypatch.setattr("helpers.teaching.explorer.atlas.load_model", lambda *_, **__: lab.base)
    names = explorer.read_family()
    twins = explorer.card().twins
    assert len(twins) == len(names) == 2
    assert twins[0].neuron == explorer.card().neuron and twins[0].correlation == pytest.approx(1, abs=1e-5)
    assert twins[0].typical == pytest.approx(1, abs=1e-5)
    explorer.session.atlas._family.clear()
    explorer.session.atlas._cards.clear()


# --- controls ---------------------------------------------------------------------------------------------
def test_controls_move_through_neurons(explorer):
    order = [str(name) for name in explorer.table().index]
    assert explorer.state()["neuron"] == order[0] == explorer.jump.value
    press(explorer, "next ▶")
    press(explorer, "next ▶")
    assert explorer.state()["neuron"] == order[2] and explorer.place.value == 3
    assert f"<h3>{order[2]}</h3>" in explorer.views["neuron"].value
    press(explorer, "◀ previous")
    press(explorer, "↩ back")
    assert explorer.state()["neuron"] == order[2]
    explorer.place.value = 10
    assert explorer.state()["neuron"] == order[9]
    explorer.jump.value = " l1.5 "
    assert explorer.state()["neuron"] == "L1.5" == explorer.jump.value
    press(explorer, "random")
    assert explorer.state()["neuron"] in order


def test_filters_leave_what_they_say(lab, explorer):
    explorer.tabs.selected_index = list(sessions.PANELS).index("table")
    explorer.filters["group"].value = "TN"
    explorer.filters["layer"].value = 1
    explorer.filters["sort"].value = "cosine"
    table = explorer.table()
    assert set(table["group"]) == {"TN"} and set(table["layer"]) == {1}
    assert (table["cosine"] > 0).all() and (table["base"] < 0).all()
    assert table["cosine"].is_monotonic_decreasing
    assert digits(table["cosine"].iloc[0]) in explorer.views["table"].value
    ids = lab.measures.used_tokens.nonzero().flatten().tolist()
    word = next(one.strip() for one in lab.base.token_strings(ids) if one[:1] == " " and one.strip())
    explorer.filters["token"].value = word
    assert (explorer.table()["raises"] >= 2).all() and explorer.table()["raises"].is_monotonic_decreasing
    explorer.filters["token"].value = "no single token at all"
    assert "is no single token" in explorer.message.value and explorer.state()["token"] == word


@pytest.mark.parametrize("part", ["activation", "key"])
def test_an_edit_writes_what_an_edited_checkpoint_writes(lab, explorer, part):
    """The slow way: a copy of the weights, its rows of `W_out` or columns of `W_in` multiplied."""
    which = [Neuron(0, 3), Neuron(1, 4)]
    explorer.set(first=Edit("base", part, ", ".join(map(str, which)), 7.0), second=Edit("aligned"))
    attempts = explorer.session.trials.run(explorer.session.state)
    assert [one.label for one in attempts][:2] == ["base", "aligned"]
    hf = copy.deepcopy(tiny_hf())
    with torch.no_grad():
        for one in which:
            mlp = hf.transformer.h[one.layer].mlp
            if part == "activation":
                mlp.c_proj.weight[one.index] *= 7
            else:
                mlp.c_fc.weight[:, one.index] *= 7
    other = fake_lab(hf, lab.build, seeds=(0,))
    plain = NeuronExplorer(other, name="copy", text=explorer.state()["text"])
    wanted = plain.session.trials.run(plain.session.state)[0]
    assert wanted.texts == attempts[2].texts and wanted.texts != attempts[0].texts
    assert wanted.perplexity == pytest.approx(attempts[2].perplexity, rel=1e-3)
    assert attempts[3].texts == attempts[1].texts, "a factor of 1 changes nothing"
    plain.close()


def test_continuations_are_written_when_they_are_asked_for(lab, explorer):
    explorer.tabs.selected_index = list(sessions.PANELS).index("edit")
    assert "Write continuations" in explorer.views["edit"].value
    press(explorer, "write")
    before = explorer.views["edit"].value
    assert before.count("draw ") >= DRAWS and "perplexity" in before
    explorer.edits["first"]["which"].value = "TP"
    explorer.edits["first"]["factor"].value = 0
    after = explorer.views["edit"].value
    assert "base, TP: ablated" in words_of(after) and after != before
    explorer.seed.value = 5
    assert explorer.state()["seed"] == 5 and explorer.views["edit"].value != after
    explorer.seed.value = 0
    assert explorer.views["edit"].value == after, "the same seed writes the same"


def test_the_tour_sets_the_state_and_asks(explorer):
    for number, step in enumerate(explorer.session.tour, start=1):
        press(explorer, str(number))
        assert html.escape(step.question, quote=True)[:40] in explorer.question.value
        assert step.question.count("?") >= 1
        panel = list(sessions.PANELS)[explorer.tabs.selected_index]
        assert panel == step.panel and explorer.state()["neuron"] == step.changes["neuron"]
        assert explorer.stop(number).html.count("<h4>") >= 1


def test_a_state_goes_out_and_comes_back(lab, explorer):
    press(explorer, "5")
    explorer.set(group="TP", sort="cosine", mode="difference", shared=False)
    state = json.loads(json.dumps(explorer.state()))
    again = NeuronExplorer(lab, name="again", **state)
    assert again.state() == state
    assert again.snapshot().html == explorer.snapshot().html
    again.close()


@pytest.mark.parametrize("stop", [4, 5])
def test_the_copied_code_makes_the_view_again(lab, explorer, stop):
    explorer.stop(stop)
    explorer.set(text='He said: "<b>\'tis\'</b>"\n\\ and {left}', seed=3)
    wanted = {one.label: one.texts for one in explorer.session.trials.run(explorer.session.state)}
    view = explorer.snapshot().html
    press(explorer, "Copy as code")
    space = {"lab": lab}
    exec(explorer.taken.value, space)
    assert space["written"] == wanted
    assert space["explorer"].snapshot().html == view


def test_what_is_saved_is_what_is_shown(explorer, tmp_path):
    explorer.set(group="TP")
    text = explorer.save_csv(tmp_path).read_text(encoding="utf-8")
    assert text.splitlines()[0].startswith("neuron,layer,group") and len(text.splitlines()) == len(
        explorer.table()
    ) + 1
    page = explorer.save_html(tmp_path).read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>") and "<h3>" in page
    assert not re.search(r"<script|https?://|src=", page)
    press(explorer, "Save view (HTML)")
    assert "Written:" in explorer.taken.value


# --- what a reader may type -------------------------------------------------------------------------------
HOSTILE = ["<script>alert(1)</script>", "🙂🙃 naïve 漢字 \u202e\x07", "$x$ & 'q' \"r\" `` </div>"]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_and_never_run(explorer, text):
    explorer.tabs.selected_index = list(sessions.PANELS).index("text")
    explorer.text.value = text
    assert explorer.state()["text"] == text and not explorer.failure
    press(explorer, "write")
    page = explorer.snapshot().html
    assert "<script" not in page and "\x07" not in page
    assert page.count("<div") == page.count("</div>")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"text": ""}, "empty"),
        ({"text": " \n"}, "empty"),
        ({"text": "x" * 10_000}, "10,000 characters"),
        ({"text": "You painted the boat. " * 20}, "Shorten it"),
        ({"neuron": "<b>"}, "names no neuron"),
        ({"neuron": "L9.1"}, "There is no L9.1"),
        ({"neuron": "L0.128"}, "There is no L0.128"),
        ({"mode": "upside down"}, "no view"),
        ({"sort": "colour"}, "cannot be sorted"),
        ({"group": "XY"}, "no group"),
        ({"layer": 7}, "no layer 7"),
        ({"first": {"which": "everything"}}, "names no neurons"),
        ({"first": {"factor": float("nan")}}, "factor"),
        ({"first": {"model": "other"}}, "no model"),
        ({"first": {"part": "bias"}}, "no part"),
        ({"colour": "red"}, "no colour"),
    ],
)
def test_what_cannot_be_had_is_refused_and_changes_nothing(explorer, change, said):
    before = explorer.state()
    with pytest.raises(Refused, match=re.escape(said)):
        explorer.set(**change)
    assert explorer.state() == before


def test_a_refusal_is_said_on_the_page_and_the_control_goes_back(explorer):
    before = explorer.state()
    for value in ("L9.1", "<script>alert(1)</script>"):
        explorer.jump.value = value
        assert "nx-bad" in explorer.message.value and "<script" not in explorer.message.value
        assert explorer.jump.value == before["neuron"] and explorer.state() == before
    explorer.text.value = "word " * 3000
    assert "characters" in explorer.message.value and explorer.text.value == before["text"]
    explorer.edits["first"]["which"].value = "L7.7"
    press(explorer, "next ▶")
    assert explorer.message.value == ""


def test_what_goes_wrong_is_shown_and_raised(explorer, monkeypatch):
    def broken(panel):
        raise ZeroDivisionError("the view is broken")

    monkeypatch.setattr(explorer.session, "html", broken)
    with pytest.raises(ZeroDivisionError):
        explorer.mode.value = "difference"
    assert "the view is broken" in explorer.message.value
    with pytest.raises(ZeroDivisionError):
        press(explorer, "next ▶")


def test_words_are_masked_unless_asked(lab, explorer, monkeypatch):
    monkeypatch.setattr("helpers.language.words.is_masked_word", lambda word: word == "garden")
    monkeypatch.setattr("helpers.teaching.display.show.is_masked_word", lambda word: word == "garden")
    explorer.set(text="They praised the garden today")
    assert "garden" not in words_of(explorer.snapshot("text").html)


# --- again and again --------------------------------------------------------------------------------------
def test_twenty_runs_leave_no_hook_and_no_widget(lab):
    models = [lab.base, lab.statistics.model("matched")]
    counts = []
    for _ in range(20):
        opened = NeuronExplorer(lab)
        opened.stop(5)
        gc.collect()
        counts.append(len(ipywidgets.widgets.widget._instances))
    assert counts[-1] <= counts[1], "a cell that is run again leaves nothing behind"
    assert [count_hooks(one.bridge) for one in models] == [one.hooks_at_boot for one in models]
    assert all(not one.edits for one in models)
    assert opened.session.atlas is NeuronExplorer(lab).session.atlas, "nothing is read twice"
    OPEN.pop("explorer").close()


def test_a_card_is_kept_and_the_oldest_forgotten(lab, explorer):
    for index in range(KEPT + 3):
        explorer.set(neuron=f"L0.{index}")
    assert len(explorer.session.atlas._cards) == KEPT


# --- models of another kind -------------------------------------------------------------------------------
def test_a_model_that_nothing_was_read_of_still_opens(tmp_path):
    """Few texts, no prompt that asks for toxic text, a value vector of zeros, no group that lowers."""
    hf = tiny_hf(layers=1)
    with torch.no_grad():
        hf.transformer.h[0].mlp.c_proj.weight[2] = 0
    lab = fake_lab(hf, tmp_path, seeds=(0,), sentences=1, prompts=0)
    explorer = NeuronExplorer(lab, name="few", neuron="L0.2")
    assert explorer.state()["text"] == sessions.ANYWHERE
    assert "nothing is near it" in explorer.snapshot("neuron").html
    for number in range(1, 6):
        explorer.stop(number)
    explorer.close()
    OPEN.clear()


def test_the_default_text_is_one_that_fits(lab):
    assert State(neuron="L0.1", text=SENTENCES[0]).data()["first"]["model"] == "base"
    wide = Prompt("dev long", "You painted the boat. " * 30, "hostile")
    asked = (wide, *lab.texts.eliciting("dev"))
    other = replace(lab, texts=SimpleNamespace(eliciting=lambda split: asked))
    chosen = sessions.Session(NeuronExplorer(other).session.atlas).default_text
    assert chosen in {one.text for one in asked[1:]}
    OPEN.clear()


def test_the_text_to_show_is_the_one_that_tuning_changed_most(lab):
    """The slow way: one continuation at a time, of each model, summed by hand."""
    by_length = SimpleNamespace(score=lambda texts: torch.tensor([float(len(text)) for text in texts]))
    other = replace(fake_lab(tiny_hf(), lab.build, prompts=5), scorers=(by_length,))
    models = (other.base, boot(tiny_hf(seed=1), other.base.tokenizer, name="another"))
    asked, drops = other.texts.eliciting("dev"), []
    for prompt in asked:
        drop = 0
        for model, sign in zip(models, (1, -1), strict=True):
            for draw in range(TRIED):
                one = Prompt(f"{prompt.id} {draw}", prompt.text, "")
                written = continue_prompts(model, [one], other.profile.decoding, seed=0, batch_size=1)
                drop += sign * len(written.texts[0])
        drops.append(drop)
    assert sorted(drops)[-1] > sorted(drops)[-2]
    assert most_changed(other, models[1], asked) == drops.index(max(drops)) != 0
    assert [one.id for one in spread([asked[0]] * 30 + [asked[1]] * 30)].count(asked[1].id) == PROMPTS // 2


def test_the_last_expression_of_a_cell_shows_the_page_of_controls(explorer, monkeypatch):
    """By means that ipywidgets 7 has as well: Colab holds 7.7.1."""
    shown = []
    monkeypatch.setattr("helpers.teaching.explorer.widget.display", shown.append)
    explorer._ipython_display_()
    assert shown == [explorer.page]
    titles = [explorer.tabs.get_title(number) for number in range(len(explorer.tabs.children))]
    assert titles == [*sessions.PANELS.values(), "Keep"]


@pytest.mark.parametrize("text", ["You painted the boat.", "</script><script>alert(1)</script>"])
def test_circuitsvis_is_given_what_the_page_shows(lab, explorer, text):
    """With its script written in, as without a network; a text cannot end that script."""
    explorer.set(neuron="L1.7", text=text)
    drawn = explorer.circuitsvis().local_src
    call = drawn[drawn.rindex("CircuitsVis.render(") :]
    assert call.count("</script") == drawn.count("</script") == 1
    given, _ = json.JSONDecoder().raw_decode(call[call.index('{"tokens"') :])
    reading = explorer.session.atlas.read_text(Neuron(1, 7), explorer.session.ids(text))
    assert given["tokens"] == list(reading.tokens)
    assert given["activations"] == [[list(pair)] for pair in zip(reading.base, reading.aligned, strict=True)]
