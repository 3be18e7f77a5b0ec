# ---
# jupyter:
#   jupytext:
#     formats: notebooks//ipynb,notebooks/py//py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 04 · How are pairs crafted?
#
# **Question.** Preference tuning learns from pairs: the same prompt, one continuation to prefer,
# one to reject. Where do thousands of them come from if nobody writes them?
#
# Paper A (§4.2, table 9) lets the model make its own. The preferred side is what it writes by
# itself. The rejected side is what it writes while **PPLM** (Dathathri et al. 2020) pushes it
# toward the probe of notebook 01. The paper made 24,576 pairs from neutral sentences. We rebuild
# the method step by step, count what it yields, and hold it against the same push in a random
# direction.

# %% [markdown]
# > **Content warning.** Half of every pair is toxic on purpose, and a score of them is printed.
# > Profanity and slurs are masked (`f***`) unless `UNMASK = True`.

# %% [markdown]
# **You will be able to**
#
# - take one PPLM step by hand: a gradient of the probe's log-probability with respect to the
#   *past* keys and values,
# - watch the next-token distribution give way over fifty such steps, and say what holds it back,
# - make pairs from two kinds of prompts, with every dropped attempt counted under its reason,
# - hold the pairs against a random direction and against plain sampling, toxicity beside fluency,
# - check that no prompt of a pair is one that results are measured on.
#
# | you need | how much |
# |---|---|
# | the probe (notebook 01) | necessary as an idea; it is loaded, or fitted on the spot |
# | attention with cached keys and values | helpful; section 1 recalls it |
# | KL divergence | helpful |
# | time | in a run of all notebooks, `pocket`: 4 min (measured; the start panel says on what); `gpt2-medium`: 688 h 40 on two CPU cores, 7 h 34 on a faster GPU (estimated; README shows the arithmetic) |
# | memory | `pocket`: 1.2 GB (measured); `gpt2-medium`: 16 GB (estimated) |

# %% [markdown]
# ## Set-up

# %%
import os, sys
sys.path.insert(0, next(up for up in (".", "..", "../..") if os.path.isdir(f"{up}/helpers")))
import helpers.colab  # installs what is missing on Colab; does nothing elsewhere
from helpers.lab import Lab

# %% tags=["parameters"]
PROFILE = None  # "pocket", "gpt2-medium" or a TOML file; None: $TOXICITY_LAB_PROFILE, else "pocket"
UNMASK = False  # True shows profanity as it is
PROMPT = None  # number of the neutral prompt that sections 1 and 2 steer; None: a rule picks it

# %%
lab = Lab.start("04_preference_pairs", PROFILE, unmask=UNMASK)

# %%
import torch

from helpers.teaching.figures import plots

model, probe, settings, seed = (
    lab.base,
    lab.measures.fit_probe(),
    lab.profile.pplm,
    lab.profile.seed,
)
draws = lab.profile.counts.bootstrap
hf = lab.load_plain().to(lab.device).requires_grad_(False)
neutral_prompts = lab.pairs.prompts("neutral")

# %% [markdown]
# Sections 1 and 2 steer one neutral prompt. Steering does not bite everywhere, so a rule picks it:
# 32 prompts are steered for one token, in fifty steps (which section 1 explains). Of those whose
# drawn token the scorer calls toxic, if there are any, we take the one where the **next token**
# has become more toxic than after any other. To rate a distribution, the scorer reads its ten
# likeliest tokens, and their scores are weighed by the probabilities. (A token counts as toxic
# from halfway between 1 and what the scorer gives the empty text: a classifier that gives that .9
# would call any token toxic.)

# %%
from helpers.alignment.pplm import steer

STEPS = 50
# The profile's whole way, in fifty small steps.
step_size = settings.step_size * settings.iterations / STEPS
fine = settings.model_copy(update={"iterations": STEPS, "step_size": step_size})
tried = [one for one in neutral_prompts[:32] if len(model.tokenizer(one.text).input_ids) > 1]
states = []
drawn = steer(
    hf,
    [model.tokenizer(one.text).input_ids for one in tried],
    [one.id for one in tried],
    probe,
    fine.model_copy(update={"new_tokens": 1}),
    seed=seed,
    on_iteration=states.append,
)

# %%
def rated(probabilities):
    """How toxic the next token is, for each prompt: its ten likeliest tokens, weighed."""
    likely = probabilities.topk(10)
    scores = lab.scorers[0].score(model.token_strings(likely.indices.flatten().cpu()))
    return (likely.values.cpu() * scores.view(likely.values.shape)).sum(dim=-1)


rise = rated(states[-1].probabilities) - rated(states[0].probabilities)
toxic_draw = lab.scorers[0].score(model.token_strings(drawn[:, 0])) >= lab.worth[0].toxic_from
best = int((rise + 2 * toxic_draw).argmax())  # no rise makes up for a draw that is not toxic
prompt = tried[best] if PROMPT is None else neutral_prompts[PROMPT]
print(f"The next token's toxicity rises by {rise[best]:.2f} after the prompt that the rule picks,")
print(f"by {rise.median():.2f} in the median. Toxic draws: {toxic_draw.sum()} of {len(tried)}.")
lab.show.quote(prompt.text)

# %% [markdown]
# ## 1 · One step by hand
#
# A transformer that writes token by token keeps, for every layer, the keys and values of all
# tokens so far. That **past** is all the next token knows of the text. PPLM leaves the weights
# alone and edits the past: a little, in the direction that makes the text to come look toxic to
# the probe,
#
# $$\text{past} \leftarrow \text{past} + s \cdot \frac{g}{\lVert g \rVert}, \qquad g = \nabla_{\text{past}}\, \log P_{\text{probe}}(\text{toxic} \mid \bar x)$$
#
# where $\bar x$ is the mean residual stream of the text, *one further token included*. That token
# is not written yet, so its embedding is the average over the vocabulary, weighed by the
# probabilities the edited past gives. Through it the gradient reaches the past.

# %%
from helpers.alignment.pasts import reader

ids = model.tokenise([prompt.text]).ids.to(lab.device)
length = ids.shape[1]
AHEAD = 4  # positions that are still to come
everywhere = torch.ones(1, length + AHEAD, dtype=torch.bool, device=lab.device)
positions = torch.arange(length + AHEAD, device=lab.device)[None]


def look(read, past, last, plain, before):
    """log P(toxic) with one token to come, and KL(edited ‖ plain), under an edited past.

    `plain` is the reading of `last` after the unedited past, `before` the streams before it.
    """
    now = read.read(past, ids=last)
    log_p, log_plain = (one.logits.log_softmax(dim=-1) for one in (now, plain))
    p = log_p.exp()
    expected = (p @ hf.transformer.wte.weight)[:, None]  # the token to come, on average
    ahead = read.read(plain.past, embeddings=expected)
    streams = torch.cat([before, now.residual.detach(), ahead.residual], dim=1)
    # Positions >= 1, as the probe was fitted.
    log_toxic = probe.logit(streams[:, 1:].mean(dim=1)).sigmoid().log()
    return log_toxic.sum(), (p * (log_p - log_plain)).sum()


def step(past, goal, size):
    """One step up the goal: the same length for the keys and values of every layer."""
    gradients = torch.autograd.grad(goal, past)
    return [layer.detach() + size * g / g.norm() for layer, g in zip(past, gradients)]

# %%
last = ids[:, -1:]
with reader(hf, everywhere, positions, layer=probe.layer) as read:
    start = read.read([], ids=ids[:, :-1])
    plain = read.read(start.past, ids=last)
    past = [layer.clone().requires_grad_() for layer in start.past]  # one tensor for each layer
    log_toxic, _ = look(read, past, last, plain, start.residual)
    edited = step(past, log_toxic, step_size)
    after = read.read(edited, ids=last).logits.softmax(dim=-1)
print(
    f"{len(past)} layers; keys and values {tuple(past[0].shape)} = (key or value, text, head, "
    f"position, dimension)"
)
print(f"P(toxic) by the probe before the step: {log_toxic.exp().item():.4f}")

# %% [markdown]
# The factory's own code takes the same step. We run it for fifty steps on every token of one
# continuation, keep every state in between, and check the first one against ours.

# %%
from helpers.alignment.pplm import trace

seen = trace(hf, ids[0].tolist(), prompt.id, probe, fine, seed=seed)
assert torch.allclose(seen.probabilities[0, 1], after[0].cpu(), atol=1e-5), (
    "the helper must take the step we took"
)
assert abs(seen.log_attribute[0, 0].item() - log_toxic.item()) < 1e-4, "and see the same probe"
print(f"{tuple(seen.probabilities.shape)=}  (new token, state, vocabulary)")

# %% [markdown]
# ## 2 · Fifty steps
#
# **Guess first.** The probe's probability is an average over the whole text. Which will move more
# in fifty steps: that average, or the distribution of the one token that is about to be written?

# %%
def settled(path):
    """Each state averaged with the one before it."""
    return torch.cat([path[:1], (path[1:] + path[:-1]) / 2])


first = seen.probabilities[0]
shown = list(
    dict.fromkeys([*first[0].topk(2).indices.tolist(), *first[-1].topk(3).indices.tolist()])
)[:5]
ends = model.tokenizer.eos_token_id
names = [
    "(end of text)" if number == ends else repr(token)
    for number, token in zip(shown, model.token_strings(torch.tensor(shown)))
]
end = first[-2:].mean(dim=0)  # two states: near the balance the path steps to and fro
risen = int((end[shown] - first[0, shown]).argmax())
finding = f"{names[0]}: {first[0, shown[0]]:.2f} → {end[shown[0]]:.2f} in {STEPS} steps"
if risen > 0:
    finding += f"; {names[risen]}: {first[0, shown[risen]]:.4f} → {end[shown[risen]]:.2f}"
finding += f" ({model.name})"
plots.line(
    list(range(STEPS + 1)),
    {name: settled(first[:, token]) for name, token in zip(names, shown)},
    title=finding,
    x_label="PPLM steps on the past",
    y_label="probability (mean of two states)",
    unmask=UNMASK,
    alt="Probability of the next token for the likeliest tokens before and after fifty PPLM "
    "steps, step by step.",
)

# %% [markdown]
# Every step has the same length, however flat the slope. Near a balance the path can only step
# across it and back, so the figures here show the mean of each state and the one before it.
#
# There is a balance because of the objective's second term. What is climbed is
#
# $$\log P_{\text{probe}}(\text{toxic} \mid \bar x) \; - \; \lambda \, \text{KL}\big(p_{\text{edited}} \,\|\, p_{\text{plain}}\big)$$
#
# with a weight $\lambda$ on the divergence from the unedited distribution (at the first step of
# section 1 both are equal, so the term was zero and its gradient too). Paper A's weight is .1.
# The same fifty steps with that weight, with this profile's, and with none:

# %%
published = type(settings)()  # table 9 of the paper
weights = sorted({0.0, settings.kl_scale, published.kl_scale})
held = {
    weight: trace(
        hf,
        ids[0].tolist(),
        prompt.id,
        probe,
        fine.model_copy(update={"kl_scale": weight, "new_tokens": 1}),
        seed=seed,
    )
    for weight in weights
}
toxic = {f"KL weight {weight:g}": run.log_attribute[0].exp() for weight, run in held.items()}
start_p = next(iter(toxic.values()))[0]
finding = f"P(toxic) by the probe: {start_p:.3f} before, after fifty steps " + ", ".join(
    f"{p[-2:].mean():.3f} at {name}" for name, p in toxic.items()
)
plots.line(
    list(range(STEPS + 1)),
    {name: settled(path) for name, path in toxic.items()},
    title=finding,
    x_label="PPLM steps on the past",
    y_label="P(toxic) (mean of two states)",
    alt="The probe's probability that the text is toxic, over fifty PPLM steps, for each weight "
    "of the KL term.",
)

# %%
divergence = {f"KL weight {weight:g}": run.divergence[0] for weight, run in held.items()}
finding = "Distance from the unedited distribution after fifty steps: " + ", ".join(
    f"{d[-2:].mean():.2f} nats at {name}" for name, d in divergence.items()
)
plots.line(
    list(range(STEPS + 1)),
    {name: settled(path) for name, path in divergence.items()},
    title=finding,
    x_label="PPLM steps on the past",
    y_label="KL (nats, mean of two states)",
    alt="KL divergence between edited and unedited next-token distribution over fifty PPLM steps, "
    "for each weight.",
)

# %% [markdown]
# Compare the two figures. The weight holds back the distribution of the next token. The probe
# reads an average over the whole text, of which one token to come is a small part. That average
# can even fall although every step climbs: as published, the gradient follows the token to come
# alone, while the average also holds what the edit does to the last token's own stream.
#
# A weight of .1 means nothing by itself. It is a price, paid for what the slope of
# $\log P_{\text{probe}}$ brings in, and the slope depends on how the probe was fitted: a strongly
# penalised probe is flat, so the same .1 holds more firmly. A profile for another probe must set
# the weight anew (ours says how it was chosen). **What this does not show:** that the token which
# wins is toxic because of the probe; the random direction of section 6 has to lose first.

# %%
states = seen.probabilities
rows = [
    {
        "step": step,
        "likeliest before": model.token_strings(states[step, 0].argmax()[None])[0],
        "likeliest after": model.token_strings(states[step, -1].argmax()[None])[0],
        "written": model.token_strings(token[None])[0],
        "P(toxic) before": seen.log_attribute[step, 0].exp(),
        "P(toxic) after": seen.log_attribute[step, -1].exp(),
        "KL (nats)": seen.divergence[step, -1],
    }
    for step, token in enumerate(seen.ids)
]
lab.show.table(rows, caption=f"One continuation, token by token, fifty steps each ({model.name})")

# %% [markdown]
# What is written need not be the likeliest token of the edited distribution. It is *drawn*, from
# the ten largest of the fused distribution
#
# $$p_{\text{fused}} \propto p_{\text{edited}}^{\,0.95} \cdot p_{\text{plain}}^{\,0.05}$$
#
# and the edited past is carried on to the next token, so edits add up. (Exercise 2 writes the
# fusion.) Fifty steps for each token are the published number and the price of the method; the
# factory of the next section takes as many as the profile says, each of them longer.
#
# That is all there is to PPLM. Here is its whole loop, for three tokens with the factory's
# settings. The draw alone is left to the factory: we follow the tokens that it drew.

# %%
three = settings.model_copy(
    update={"new_tokens": 3, "window": 0, "horizon": 1, "gamma": 1.0, "decay": False}
)
factory = trace(hf, ids[0].tolist(), prompt.id, probe, three, seed=seed)
apart = 0.0
with reader(hf, everywhere, positions, layer=probe.layer) as read:
    past = unedited = start.past
    before, last = start.residual, ids[:, -1:]
    for number, token in enumerate(factory.ids):
        plain = read.read(unedited, ids=last)
        for _ in range(three.iterations):
            past = [layer.detach().requires_grad_() for layer in past]
            log_toxic, kl = look(read, past, last, plain, before)
            past = step(past, log_toxic - three.kl_scale * kl, three.step_size)
        now = read.read(past, ids=last)
        p = now.logits.softmax(dim=-1)[0].cpu()
        apart = max(apart, (p - factory.probabilities[number, -1]).abs().max().item())
        before = torch.cat([before, plain.residual], dim=1)
        past, unedited, last = now.past, plain.past, token.view(1, 1).to(lab.device)
assert apart < 1e-2, "the loop by hand must give the factory's distributions"
print(f"largest difference of any probability from the factory's, over three tokens: {apart:.1e}")

# %% [markdown]
# ## 3 · The factory
#
# For each prompt: continue it plainly with the likeliest tokens (**chosen**), and steered
# (**rejected**). We try two sources of prompts:
#
# - **(a) neutral** prompts, as in the paper. A pair is kept if the scorer rates its rejected side
#   far enough above its chosen side: `pair_filter` of the profile says how far, `pocket` by .5 of
#   the way from 0 to 1.
# - **(b) hostile** prompts (whatever the profile has to elicit toxic text), after which the plain
#   text may be toxic itself. The chosen side must be clean besides, or the pair would teach which
#   of two insults to prefer.
#
# **Guess first.** Out of 100 prompts of each kind, how many give a usable pair?

# %%
guess = lab.guess(
    "04.1", "Usable pairs of 100 neutral prompts", unit="pairs", low=0, high=100, value=None
)

# %%
neutral, hostile = lab.pairs.craft("neutral"), lab.pairs.craft("hostile")
sources = {"(a) neutral": neutral, "(b) hostile": hostile}
print(
    f"{settings.iterations} steps of {settings.step_size} on each token; at most "
    f"{lab.profile.counts.pairs} pairs are wanted"
)
print({name: len(found.kept) for name, found in sources.items()}, "pairs kept")


def to_read(found):
    """The pairs that were kept; where fewer than two were, all attempts with two sides."""
    return found.kept if len(found.kept) > 1 else found.written


unfiltered = [name for name, found in sources.items() if len(found.kept) < 2]
print("read without the filter, which kept fewer than two:", ", ".join(unfiltered) or "none")

# %%
reasons = dict.fromkeys(reason for found in sources.values() for reason in found.counts)
usable = len(neutral.kept) + neutral.counts.get("more than were wanted", 0)
lab.answer("04.1", 100 * usable / neutral.counts["attempted"])
lab.show.table(
    [
        {
            "what became of the attempts": reason,
            **{name: found.counts.get(reason, 0) for name, found in sources.items()},
            **{
                f"{name}, share": found.counts.get(reason, 0) / found.counts["attempted"]
                for name, found in sources.items()
            },
        }
        for reason in reasons
    ],
    caption=f"Every attempt is kept or counted under the first reason that applies ({model.name}; "
    f"scorer: {lab.scorers[0].name})",
)

# %% [markdown]
# Two different failures are possible. A neutral prompt is lost when its steered side stays clean:
# the context offers little that could turn toxic. A hostile prompt is lost when its *plain* side
# is toxic already. Which of them is larger in which column? (Pairs beyond those wanted are
# counted as such, so *kept* is a share with a cap.) Which source trains better, notebook 05
# decides on development prompts.
#
# The paper's set was, as far as is known, not filtered by score. Ours is, because a pair whose
# two sides are equally clean teaches nothing about toxicity; the measurement in section 6 is made
# *before* the filter.

# %% [markdown]
# ## 4 · Pairs to read
#
# Numbers come later. Read first.

# %%
def ten(found):
    """Ten pairs at most, evenly spaced over those kept: unselected otherwise."""
    pairs = to_read(found)
    return pairs[:: max(1, len(pairs) // 10)][:10]


for name, found in sources.items():
    pairs = ten(found)
    display(
        lab.show.side_by_side(
            {
                "chosen": [pair.chosen for pair in pairs],
                "rejected": [pair.rejected for pair in pairs],
            },
            labels=["…" + pair.prompt[-45:] for pair in pairs],
            caption=f"{name}: the end of the prompt, and both sides ({model.name})",
        )
    )

# %% [markdown]
# Two things to look for. Is the rejected side a sentence, or a list of insults? And do the two
# sides differ in anything *else* than toxicity (length, topic, grammar), which training would
# learn just as well?

# %% [markdown]
# ## 5 · Both sides in numbers
#
# **Guess first.** The rejected side was steered by gradients. How much more surprising is it to
# the model itself than the chosen side: twice, ten times?

# %%
guess = lab.guess(
    "04.2", "How many times as surprising is the steered side?", unit="times", low=0, value=None
)

# %%
from helpers.intervals import bootstrap
from helpers.language.metrics import mean_of

second = lab.scorers[1]
sides = {
    (name, side): [getattr(pair, side) for pair in to_read(found)]
    for name, found in sources.items()
    for side in ("chosen", "rejected")
}
by_scorer = {
    scorer.name: {
        key: mean_of(scorer.score(texts), scorer.unit).interval(n=draws, seed=seed)
        for key, texts in sides.items()
    }
    for scorer in lab.scorers
}
rated = by_scorer[second.name]
finding = "By the second scorer, which had no say in the filter, rejected − chosen is " + ", ".join(
    f"{rated[n, 'rejected'].value - rated[n, 'chosen'].value:+.2f} after {n} prompts"
    for n in sources
)
plots.bar(
    list(sources),
    {side: [rated[name, side] for name in sources] for side in ("chosen", "rejected")},
    title=finding,
    x_label="source of prompts",
    y_label=f"toxicity ({second.unit})",
    alt="Mean toxicity of chosen and rejected sides by the second scorer, for both sources, with "
    "bootstrap 95 % intervals.",
)

# %%
fluency = {key: lab.pairs.measure_fluency(to_read(sources[key[0]]), key[1]) for key in sides}
neutral_sides = {
    side: fluency["(a) neutral", side].per_item.log10() for side in ("chosen", "rejected")
}
times = 10 ** (neutral_sides["rejected"].median() - neutral_sides["chosen"].median())
lab.answer("04.2", times)
finding = (
    f"After neutral prompts the steered side is {times:.1f} times as surprising as the plain one, "
    f"by the median ({model.name})"
)
plots.histogram(
    neutral_sides,
    bins=40,
    title=finding,
    x_label=f"log₁₀ of perplexity under {model.name} (0 = certain, 1 = one in ten)",
    alt="Distribution over pairs of the base model's perplexity of the chosen and of the rejected "
    "side, on a logarithmic axis.",
)

# %%
lab.show.table(
    [
        {
            "source": name,
            "side": side,
            "pairs": len(sides[name, side]),
            **{
                f"toxicity ({scorer})": str(found[name, side])
                for scorer, found in by_scorer.items()
            },
            "perplexity under base": str(fluency[name, side].interval(n=draws, seed=seed)),
        }
        for name, side in sides
    ],
    caption=f"Both sides of the pairs: value [95 % interval] ({model.name})",
)

# %% [markdown]
# The first scorer filtered these pairs, so its column says only what was asked for. The second
# scorer's column is evidence, and perplexity is the price. The chosen side is the *likeliest*
# text, so it is less surprising than sampled text would be. **What this does not show:** whether
# training will pick up the toxicity or the surprise. Notebook 05 reports the fluency of what the
# trained model writes beside its toxicity; it does not take the two apart.

# %% [markdown]
# ## 6 · The control: the same push in a random direction
#
# Any push of this size disturbs the text, and disturbed text may hold a toxic word by accident.
# So we steer the first of the same neutral prompts with a probe whose direction is random, as
# long as W (the direction of the fitted probe) and as sure of itself. All attempts count here
# before any filter, but for those with an empty side, which has no score.

# %%
few = min(96, neutral.counts["attempted"])
randoms = [
    lab.pairs.craft("random direction", attempts=few, wanted=few, draw=draw)
    for draw in range(lab.profile.steering.random_directions)
]


def gaps(found):
    """Toxicity of the rejected minus the chosen side, for each attempt that has both."""
    return torch.tensor([pair.scores["rejected"] - pair.scores["chosen"] for pair in found.written])


measured = {
    "W, neutral prompts": gaps(neutral),
    "W, hostile prompts": gaps(hostile),
    "random directions, neutral": torch.cat([gaps(found) for found in randoms]),
}
pushed = {name: bootstrap(each, n=draws, seed=seed) for name, each in measured.items()}

# %%
difference, control = pushed["W, neutral prompts"], pushed["random directions, neutral"]
finding = (
    f"Steering toward the probe adds {difference.value:.2f} to the toxicity of neutral "
    f"continuations; {len(randoms)} random directions add {control.value:.2f}"
)
plots.bar(
    [f"{name} (n = {len(each)})" for name, each in measured.items()],
    {"difference": list(pushed.values())},
    title=finding,
    x_label="direction, and kind of prompt",
    y_label=f"rejected − chosen ({lab.scorers[0].unit})",
    alt="Difference in toxicity between steered and plain continuations over all attempts: probe "
    "on neutral and on hostile prompts, random directions on neutral ones.",
)

# %%
from helpers.teaching.claims import Measurement

spare = neutral.counts.get("more than were wanted", 0)
both = {side: fluency["(a) neutral", side].value for side in ("chosen", "rejected")}
lab.claims.record(
    "A5",
    Measurement.of(
        difference,
        "difference in toxicity",
        control=control,
        share_kept=(len(neutral.kept) + spare) / neutral.counts["attempted"],
        fluency_chosen=both["chosen"],
        fluency_rejected=both["rejected"],
        hostile_difference=pushed["W, hostile prompts"].value,
    ),
)

# %% [markdown]
# The two probe bars have different ceilings: where a plain continuation is toxic already,
# steering has nothing left to add.

# %% [markdown]
# ## 7 · Without steering: rejection sampling
#
# The simplest alternative draws six continuations of each hostile prompt and pairs a clean one
# with a toxic one. No gradient and no probe; the scorer alone decides.
#
# **Guess first.** Which rejected side will be more fluent, the steered or the sampled one?

# %%
guess = lab.guess(
    "04.3", "Which rejected side is more fluent?", choices=("steered", "sampled"), value=None
)

# %%
tried = min(300, len(lab.pairs.prompts("rejection sampling")))
sampled = lab.pairs.craft("rejection sampling", attempts=tried)
fluency |= {
    ("sampled", side): lab.pairs.measure_fluency(sampled.kept, side)
    for side in ("chosen", "rejected")
    if len(sampled.kept) > 1
}
steered = fluency["(b) hostile", "rejected"].value
drawn = fluency["sampled", "rejected"].value if len(sampled.kept) > 1 else None
more_fluent = "sampled" if drawn is not None and drawn < steered else "steered"
lab.answer("04.3", None if drawn is None else more_fluent)
recipes = {
    "PPLM, (a) neutral": ("(a) neutral", neutral, neutral.counts["attempted"]),
    "PPLM, (b) hostile": ("(b) hostile", hostile, hostile.counts["attempted"]),
    "rejection sampling, hostile": ("sampled", sampled, tried),
}
lab.show.table(
    [
        {
            "recipe": recipe,
            "prompts used": used,
            "pairs": len(found.kept),
            "share": len(found.kept) / used,
            **{
                f"perplexity, {side}": str(fluency[key, side].interval(n=draws, seed=seed))
                for side in ("chosen", "rejected")
                if (key, side) in fluency
            },
        }
        for recipe, (key, found, used) in recipes.items()
    ],
    caption=f"Three ways to pairs ({model.name})",
)

# %% [markdown]
# Rejection sampling can only reject what the model says anyway; PPLM makes it say more. (The
# shares do not compare: sampling's is per prompt of six draws, PPLM's per attempt and capped.)
# They differ in cost as well. PPLM takes a backward pass for every step of every token; sampling
# takes none, but needs prompts that invite toxicity and a scorer to trust. Notebook 05 trains on
# the first two recipes, one at a time.

# %% [markdown]
# ## 8 · Pairs as files, and a wall between pairs and tests
#
# Pairs are plain JSONL. The published files name their columns otherwise; the reader accepts
# both. A downloaded set takes the place of ours where a profile names it under `data.pairs`, with
# its columns.

# %%
from helpers.alignment.jsonl import read_pairs, write_pairs

file = lab.build / "pairs" / "neutral.jsonl"
write_pairs(file, neutral.kept, schema="published")
assert not neutral.kept or read_pairs(file) == neutral.kept, "what was written must come back"
print(
    f"{file.name}: {len(neutral.kept)} pairs, {file.stat().st_size / 1e3:.0f} kB, columns "
    f"prompt_text, unpert_gen_text, pert_gen_text"
)

# %% [markdown]
# If a prompt were both in a pair and in the evaluation, training would have seen its test. We
# assert that none is, and that the probe, which chose the rejected side, has not seen a prompt
# either.

# %%
def plain_form(texts):
    """Texts without case and spacing, so that no copy hides behind a blank."""
    return {" ".join(text.casefold().split()) for text in texts}


in_pairs = plain_form(
    pair.prompt for found in (neutral, hostile, sampled) for pair in found.attempts
)
measured_on = {
    "development prompts": lab.texts.prompts_dev,
    "evaluation prompts": lab.texts.prompts_eval,
    "probe's comments": (
        *lab.texts.comments_train,
        *lab.texts.comments_test,
        *lab.texts.comments_matched,
    ),
}
for name, items in measured_on.items():
    shared = in_pairs & plain_form(item.text for item in items)
    assert not shared, f"{len(shared)} prompts of pairs are among the {name}"
print(
    f"{len(in_pairs)} prompts of pairs; none among",
    ", ".join(f"{len(items)} {name}" for name, items in measured_on.items()),
)

# %% [markdown]
# **What this does not show:** that the prompts are of different kinds. Copies are excluded,
# likeness is not: texts of one corpus share phrases, and what is learned after one prompt may
# carry over to its neighbours.

# %% [markdown]
# ## Your turn
#
# Each exercise ships with its solution. To try it yourself, delete the lines between `### BEGIN
# SOLUTION` and `### END SOLUTION`, write your own, and run the cell: the check tries your
# function on fresh inputs and says what is off. The hint is folded below.
#
# ### Exercise 1 · A step of equal length for every text
#
# **Goal:** normalise a gradient without mixing texts. **Difficulty:** ●●○○○ **Minutes:** 8
#
# Given the gradient of a *loss*, return the past after a step of length `step_size` down that
# loss. Each text of the batch takes a step of exactly that length, whatever the others' gradients
# are.

# %%
from jaxtyping import Float
from torch import Tensor

from helpers.teaching.exercises import check_pplm_step


def pplm_step(
    past: Float[Tensor, "batch pos d"], gradient: Float[Tensor, "batch pos d"], step_size: float
) -> Float[Tensor, "batch pos d"]:
    """past − step_size × gradient / ‖gradient‖, the norm taken over each text."""
    ### BEGIN SOLUTION
    length = gradient.flatten(start_dim=1).norm(dim=1)
    return past - step_size * gradient / length[:, None, None]
    ### END SOLUTION


check_pplm_step(pplm_step)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `gradient.flatten(start_dim=1)` turns each text into one long vector. The released PPLM code
# takes the norm over the whole batch, which makes a text's result depend on its neighbours.
# </details>
#
# ### Exercise 2 · Fuse, cut, renormalise
#
# **Goal:** the distribution that PPLM draws from. **Difficulty:** ●●○○○ **Minutes:** 10
#
# Return the geometric mean `steered**scale * plain**(1 - scale)`, only its `top_k` largest
# entries, summing to one.

# %%
from helpers.teaching.exercises import check_fuse


def fuse(
    steered: Float[Tensor, "batch vocab"],
    plain: Float[Tensor, "batch vocab"],
    scale: float,
    top_k: int,
) -> Float[Tensor, "batch vocab"]:
    """The distribution the next token is drawn from."""
    ### BEGIN SOLUTION
    fused = steered**scale * plain ** (1 - scale)
    least = fused.topk(top_k, dim=-1).values[:, -1:]
    fused = torch.where(fused >= least, fused, 0.0)
    return fused / fused.sum(dim=-1, keepdim=True)
    ### END SOLUTION


check_fuse(fuse)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `topk(k).values[:, -1:]` is the smallest probability that is kept. Renormalise last.
# </details>
#
# ### Open task · What else tells the two sides apart?
#
# **Minutes:** 20 to 40. There is no check: nobody here knows the answer.
#
# Training learns whatever the chosen sides have and the rejected ones lack. How well does *length*
# alone, or surprise, or repetition, tell the sides of a pair apart? And when you keep only the
# pairs that are alike in the strongest of them, how much of the difference in toxicity is left?
#
# Start with `to_read(neutral)`, `lab.pairs.measure_fluency(…)`, and `auroc_by_counting` of
# notebook 01 (or `auroc` of `helpers.mechanism.probe_scores`). Sides swapped at random are one
# control. Write down your guess and what the result does not show.

# %% [markdown]
# ## What this notebook settles

# %%
lab.claims_table("A5")

# %% [markdown]
# ## Where to go next
#
# [Notebook 05](05_dpo_training.ipynb) writes the loss, trains on these pairs, and fixes the two
# policies that the rest of the series opens.
