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
# # 05 · How does DPO learn from pairs?
#
# **Question.** Direct preference optimisation (Rafailov et al. 2023) turns pairs into a less
# toxic model with one line of loss. What does that line push on, how far does it push, and how do
# we know when to stop?
#
# Paper A (table 2) trains GPT2-medium on its PPLM pairs and reports toxicity falling from .453 to
# .208, perplexity rising from 21.7 to 23.34, and F1 as it was (.193, then .195). We write the
# loss from scratch, check it against the library that does the training, and fix two policies on
# development prompts. Every later notebook opens these two.

# %% [markdown]
# > **Content warning.** Pairs and continuations are shown, and half of them are toxic. Profanity
# > and slurs are masked (`f***`) unless `UNMASK = True`.

# %% [markdown]
# **You will be able to**
#
# - write the DPO loss in under twenty lines and say which line is which term,
# - see the mask: which tokens are pulled, which way, and that the prompt's are not,
# - show that your loss is the training library's, to five digits, and take one of its steps,
# - say what the loss pushes on: the chosen texts up, or the rejected ones down,
# - choose a policy on development data by a rule fixed beforehand, and report it on other prompts
#   beside a control,
# - look for the signs of over-training, of which reward accuracy is none.
#
# | you need | how much |
# |---|---|
# | log-probabilities, gradients | necessary |
# | the pairs of notebook 04 | helpful; they are loaded, or made on the spot |
# | time | in a run of all notebooks, `pocket`: 9 min (measured; the start panel says on what); `gpt2-medium`: 214 h 45 on two CPU cores, 3 h 13 on a faster GPU (estimated; README shows the arithmetic) |
# | memory | `pocket`: 1.4 GB (measured); `gpt2-medium`: 16 GB (estimated) |

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

# %%
lab = Lab.start("05_dpo_training", PROFILE, unmask=UNMASK)

# %%
import torch

from helpers.alignment.encoding import encode_pairs
from helpers.teaching.figures import plots

model, tokenizer, settings, seed = lab.base, lab.base.tokenizer, lab.profile.dpo, lab.profile.seed
pairs = lab.pairs.craft(lab.policies.sources[0]).kept
encoded = encode_pairs(pairs, tokenizer, settings, model.context)
left_out = sorted(set(lab.pairs.sources) - set(lab.policies.sources))
print("sources that gave too few pairs to train on:", ", ".join(left_out) or "none")
print(f"{len(pairs)} pairs, of which the last {lab.policies.held_back(pairs)} validate; the first:")
one = {"prompt": pairs[0].prompt, "chosen": pairs[0].chosen, "rejected": pairs[0].rejected}
lab.show.table([one], caption="One pair")

# %% [markdown]
# ## 1 · The loss, from scratch
#
# $$\mathcal L = -\log \sigma \Big( \beta \big[ \log \tfrac{\pi(y^+ \mid w)}{\pi_{\text{ref}}(y^+ \mid w)} - \log \tfrac{\pi(y^- \mid w)}{\pi_{\text{ref}}(y^- \mid w)} \big] \Big)$$
#
# $w$ is the prompt, $y^+$ the chosen and $y^-$ the rejected continuation, $\pi$ the **policy**
# that is trained, $\pi_{\text{ref}}$ the **reference**: the same model before training, frozen.
# The bracket asks one thing: has the policy, compared with the reference, moved more toward $y^+$
# than toward $y^-$?
#
# | term | line |
# |---|---|
# | $\log \pi(y \mid w)$, a *sum* over the tokens of $y$ | `log_pi = response_logprob(policy, batch)` |
# | $\log \pi_{\text{ref}}(y \mid w)$, without gradient | `log_ref = response_logprob(reference, batch)` |
# | $\beta \log (\pi / \pi_{\text{ref}})$, the *reward* of a text | `(beta * (log_pi - log_ref)).chunk(2)` |
# | $-\log \sigma(\text{margin})$ | `-logsigmoid(chosen - rejected).mean()` |

# %%
from torch.nn.functional import logsigmoid


def response_logprob(lm, batch):
    """log π(y | w) of each row: the sum over the response of log p(token | all before it)."""
    positions = (batch.mask.long().cumsum(dim=1) - 1).clamp_min(0)
    logits = lm(
        input_ids=batch.ids, attention_mask=batch.mask.long(), position_ids=positions
    ).logits
    logprobs = logits[:, :-1].log_softmax(dim=-1)  # what stands at t predicts token t + 1
    taken = logprobs.gather(-1, batch.ids[:, 1:, None]).squeeze(-1)
    # The mask: the response alone counts.
    return torch.where(batch.response[:, 1:], taken, 0.0).sum(dim=1)


def dpo(policy, reference, batch, beta):
    """The DPO loss of a batch whose first half are the chosen rows."""
    log_pi = response_logprob(policy, batch)
    with torch.no_grad():
        log_ref = response_logprob(reference, batch)
    chosen, rejected = (beta * (log_pi - log_ref)).chunk(2)
    return -logsigmoid(chosen - rejected).mean()

# %% [markdown]
# **Guess first.** Before any training the policy *is* the reference. What is the loss then, for
# any pairs whatever?

# %%
guess = lab.guess("05.1", "DPO's loss before training", unit="nats", low=0, value=None)

# %%
import math

from helpers.alignment.loss import lay_out

few = encoded[:4]
rows = ([p.prompt for p in few], [p.chosen for p in few], [p.rejected for p in few])
batch = lay_out(*rows, padding=tokenizer.eos_token_id)
reference, policy = lab.load_plain(), lab.load_plain()
start = dpo(policy, reference, batch, settings.beta)
lab.answer("05.1", start.item())
assert abs(start.item() - math.log(2)) < 1e-6, "equal models: margin 0, and −log σ(0) = log 2"
print(f"{tuple(batch.ids.shape)=}  loss before training: {start:.6f}  (log 2 = {math.log(2):.6f})")

# %% [markdown]
# ## 2 · The mask, made visible
#
# Decode each row through its masks: what counts as prompt, what as response, and how much is
# padding.

# %%
def through(mask, row):
    """The text of the tokens where the mask is True."""
    return tokenizer.decode(batch.ids[row][mask[row]])


sides = [f"{side} {pair}" for side in ("chosen", "rejected") for pair in range(len(few))]
lab.show.table(
    [
        {
            "row": side,
            "prompt: not in the loss": "…" + through(batch.mask & ~batch.response, row)[-50:],
            "response: in the loss": through(batch.response, row),
            "padding": int((~batch.mask[row]).sum()),
        }
        for row, side in enumerate(sides)
    ],
    caption=f"A batch of {len(few)} pairs, decoded through its masks",
)

# %% [markdown]
# The first rows are the chosen sides, the last ones the rejected sides of the same prompts. A text
# that a length limit cut off simply ends.
#
# How hard is each of these tokens pulled? The pull is the derivative of the loss with respect to
# the token's log-probability. **Guess first.** Is it stronger on an insult than on a full stop?

# %%
from helpers.alignment.loss import token_logprobs

with torch.no_grad():
    taken = token_logprobs(policy, batch.ids, batch.mask)
    log_ref = response_logprob(reference, batch)
taken.requires_grad_()
log_pi = torch.where(batch.response, taken, 0.0).sum(dim=1)
chosen, rejected = (settings.beta * (log_pi - log_ref)).chunk(2)
(slope,) = torch.autograd.grad(-logsigmoid(chosen - rejected).mean(), taken)
assert (slope[~batch.response] == 0).all(), "prompt and padding contribute exactly nothing"

# %%
def show_pull(pull, value_label):
    """One pair, each token coloured by how hard it is pulled up (or pushed down)."""
    for row, caption in ((0, "chosen: pulled up"), (len(few), "rejected: pushed down")):
        real = batch.mask[row]
        strings, scale = model.token_strings(batch.ids[row][real]), slope.abs().max().item()
        display(
            lab.show.tokens(
                strings, pull[row][real], scale=scale, caption=caption, value_label=value_label
            )
        )


show_pull(-slope, "−∂loss/∂log p")

# %% [markdown]
# Every token of a response is moved with the same force, $\beta\,\sigma(-\text{margin})$ divided
# by the number of pairs: up in the chosen text, down in the rejected one. The prompt's tokens
# feel none at all. DPO is not told *which* word made a text toxic.
#
# But a log-probability is not what a network puts out. It puts out *logits* $z$, and
# $\partial \log p / \partial z = 1 - p$ for the token's own logit. **Guess first.** On which side
# does more of the pull get through to the logits?

# %%
with torch.no_grad():
    where = (batch.mask.long().cumsum(dim=1) - 1).clamp_min(0)
    z = policy(
        input_ids=batch.ids, attention_mask=batch.mask.long(), position_ids=where
    ).logits[:, :-1]
z.requires_grad_()
log_p = z.log_softmax(dim=-1).gather(-1, batch.ids[:, 1:, None]).squeeze(-1)
log_p.backward(slope[:, 1:])  # the chain rule: the pull on log p, handed on to z
on_logits = torch.zeros_like(slope)
on_logits[:, 1:] = z.grad.gather(-1, batch.ids[:, 1:, None]).squeeze(-1)
p = taken.detach().exp()
assert torch.allclose(on_logits, slope * (1 - p), atol=1e-5), "the pull on log p, times 1 − p"
show_pull(-on_logits, "−∂loss/∂logit")

# %%
gets_through = {"chosen": [], "rejected": []}
for one in encoded[:64]:
    pair = lay_out([one.prompt], [one.chosen], [one.rejected], padding=tokenizer.eos_token_id)
    with torch.no_grad():
        left = 1 - token_logprobs(reference, pair.ids, pair.mask).exp()
    for row, side in enumerate(gets_through):
        gets_through[side] += left[row][pair.response[row]].tolist()
reached = [f"{sum(part) / len(part):.0%} on the {side} side" for side, part in gets_through.items()]
finding = f"Of the pull, the logits feel {' and '.join(reached)} ({model.name}, before training)"
plots.histogram(
    gets_through,
    bins=20,
    title=finding,
    x_label="1 − p: how much of the pull reaches the token's logit",
    alt="Distribution over tokens of one minus the probability, for chosen and rejected sides.",
)

# %% [markdown]
# A token that the model is sure of (p near 1) passes on hardly any of the pull; a token that it did
# not expect (p near 0) passes on all of it. Greedy texts, such as these chosen ones, hold more of
# the former than steered texts do. As far as the title's two shares differ, the two sides, equal
# in the loss, are unequal for the network before any training. (A model that is seldom sure of
# anything has hardly a difference.)
#
# Padding must not matter either: on the left, on the right, and with more of it, the sums are the
# same.

# %%
wide = lay_out(*rows, padding=0, side="left", width=batch.ids.shape[1] + 5)
with torch.no_grad():
    wide_sums = response_logprob(policy, wide)
assert torch.allclose(log_ref, wide_sums, atol=1e-3), "padding must change nothing"
print(
    f"largest difference under other padding: {(log_ref - wide_sums).abs().max():.1e} nats of "
    f"{log_ref.abs().mean():.0f}"
)

# %% [markdown]
# ## 3 · The same loss as the library's
#
# Training is left to TRL's `DPOTrainer`: batches, warm-up, checkpoints, several processes. If it
# computes the loss above, then you know what it optimises. A policy that equals its reference
# would be a poor test (any correct loss gives log 2), so every weight is nudged first. And one
# loss is one number, which may land near log 2 by chance: what each row of the batch sums to is
# compared as well.

# %%
import pathlib
import tempfile

from helpers.alignment.loss import PairBatch
from helpers.alignment.trl_adapter import preference_trainer
from helpers.language.models import quiet


def nudge(lm):
    """Moves every weight a little, at random, so that policy and reference differ."""
    noise = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in lm.parameters():
            weight += 0.03 * weight.std() * torch.randn(weight.shape, generator=noise)


def library_trainer(pairs, asked, work):
    """TRL's trainer on a fresh copy of the model."""
    return preference_trainer(
        lab.load_plain(),
        tokenizer,
        pairs,
        few,
        asked,
        pathlib.Path(work),
        seed=seed,
        device=torch.device("cpu"),
        micro_batch=4,
    )


with tempfile.TemporaryDirectory() as work:
    small = settings.model_copy(update={"batch": 4, "precision": "float32"})
    trainer = library_trainer(encoded[4:12], small, work)
    nudge(trainer.model)
    theirs = next(iter(trainer.get_train_dataloader()))
    trl_loss = trainer.compute_loss(trainer.model, theirs).item()
    with torch.no_grad(), quiet():  # the library warns of its own next version
        trl_sums = torch.cat(trainer.compute_ref_log_probs(trainer.model, theirs))

# %%
nudge(policy)
same = PairBatch(
    theirs["input_ids"], theirs["attention_mask"].bool(), theirs["completion_mask"].bool()
)
our_loss = dpo(policy, reference, same, settings.beta).item()
assert abs(our_loss - trl_loss) < 1e-5, "the loss from scratch must be the library's"
with torch.no_grad():
    our_sums, before = response_logprob(policy, same), response_logprob(reference, same)
apart, moved = (our_sums - trl_sums).abs().max(), (our_sums - before).abs()
assert apart < 1e-3, "every row must sum to what it sums to in the library"
assert moved.mean() > 10 * apart, "the comparison is not between two constants: the rows have moved"
assert not (same.ids[same.response] == tokenizer.eos_token_id).any(), (
    "no response may teach end-of-text"
)
print(
    f"loss: from scratch {our_loss:.6f}, TRL {trl_loss:.6f}, apart {abs(our_loss - trl_loss):.1e}\n"
    f"log π(y | w) of {len(our_sums)} rows: moved by {moved.min():.2g} to {moved.max():.2g} nats, "
    f"apart {apart:.1e}"
)

# %% [markdown]
# The last assertion guards against a default of TRL that is switched off here: it appends an
# end-of-text token to every response. Most of ours are cut off by a length limit, and a model
# trained to stop there would learn to fall silent.
#
# ### One step by hand
#
# Training is a repetition of four lines: the loss, its gradient (cut to a largest length), the
# optimiser's step, and the next batch. **Guess first.** After *one* step on these four pairs, do
# the chosen texts become likelier? (A real run begins with smaller steps; this one is of full
# size.)

# %%
optimisers = {"adamw": torch.optim.AdamW, "rmsprop": torch.optim.RMSprop}
policy = lab.load_plain()
optimiser = optimisers[settings.optimiser](
    policy.parameters(), lr=settings.learning_rate, weight_decay=0.0
)
before = dpo(policy, reference, batch, settings.beta)
before.backward()
torch.nn.utils.clip_grad_norm_(policy.parameters(), settings.clip)
optimiser.step()
with torch.no_grad():
    after = dpo(policy, reference, batch, settings.beta)
    moved = response_logprob(policy, batch) - log_ref
del policy, optimiser  # three times the weights, at least

# %%
up, down = moved.chunk(2)
lab.show.table(
    [
        {"pair": number, "chosen (nats)": f"{one:+.2f}", "rejected (nats)": f"{other:+.2f}"}
        for number, (one, other) in enumerate(zip(up.tolist(), down.tolist()))
    ],
    caption=f"How much likelier one step makes each text; the loss goes from {before.item():.4f} "
    f"to {after.item():.4f} ({model.name})",
)

# %% [markdown]
# The trainer takes the same step:

# %%

with tempfile.TemporaryDirectory() as work:
    once = small.model_copy(update={"max_steps": 1, "warmup_steps": 0})
    trainer = library_trainer(few, once, work)
    with quiet():  # without the library's bars
        trainer.train()
    stepped = lab.load_plain()
    stepped.load_state_dict(trainer.model.state_dict())
with torch.no_grad():
    theirs_moved = response_logprob(stepped, batch) - log_ref
apart, way = (theirs_moved - moved).abs().max(), moved.abs().mean()
assert apart < 0.05 * way + 1e-4, "one step of the trainer is one step by hand"
print(f"mean way of a text: {way:.3f} nats; largest difference from the trainer's: {apart:.1e}")
del trainer, stepped

# %% [markdown]
# The two differ by rounding alone: the optimiser divides a gradient by its own size, so a weight
# with hardly any gradient may step either way.
#
# **What this does not show:** that optimising this loss lowers toxicity. The loss mentions no
# scorer.

# %% [markdown]
# ## 4 · Training, watched
#
# Every few steps training pauses for a **look**: validation loss, margin and accuracy on
# held-back pairs, and toxicity and perplexity on *development* prompts, measured on weights saved
# and loaded again. An interrupted run goes on from its last look when its cell is run again.
#
# First on the paper's source of pairs, neutral prompts; then on hostile ones. (A profile that
# names a file of pairs trains on those instead.)
#
# **Guess first.** After neutral prompts a model is seldom toxic. Will training there change what
# it says after the prompts that elicit it?

# %%
from helpers.teaching.figures.live import live_chart

by_source = {}
for name in lab.policies.sources:
    with live_chart(f"pairs, {name}") as watch:
        by_source[name] = lab.policies.train_on(name, watch=watch)
print(";  ".join(f"{name}: {run.stopped}" for name, run in by_source.items()))

# %%
from helpers.intervals import Interval


def looks_at(run):
    """The rows of a run's history in which it was measured."""
    return [row for row in run.history if row["kind"] == "look"]


def toxicity_of(run):
    """Dev toxicity at each look, with its 95 % interval over prompts."""
    return [
        Interval(row["toxicity"], row["toxicity_low"], row["toxicity_high"])
        for row in looks_at(run)
    ]

# %%
start_look = by_source[lab.policies.sources[0]].looks[0]
target, ceiling = (
    settings.matched_share * start_look.toxicity,
    settings.perplexity_ceiling * start_look.perplexity,
)
fell = [f"{run.looks[-1].toxicity:.2f} ({name} pairs)" for name, run in by_source.items()]
finding = (
    f"Dev toxicity goes from {start_look.toxicity:.2f} to "
    + " and ".join(fell)
    + f" ({model.name}, one run each)"
)
plots.line(
    {name: [look.step for look in run.looks] for name, run in by_source.items()},
    {name: toxicity_of(run) for name, run in by_source.items()},
    reference={f"{settings.matched_share:.0%} of base": target},
    title=finding,
    x_label="optimiser steps",
    y_label=f"dev toxicity ({lab.scorers[0].unit})",
    alt="Development toxicity against optimiser steps for both sources of pairs, with 95 % bands; "
    "a line marks the matched share of base.",
)

# %%
price = {
    name: [look.perplexity / start_look.perplexity for look in run.looks]
    for name, run in by_source.items()
}
finding = (
    "The price at the last step: perplexity "
    + ", ".join(f"× {ratio[-1]:.3f} on {name} pairs" for name, ratio in price.items())
    + f" ({model.name}, one run each)"
)
plots.line(
    price,
    {name: [look.toxicity for look in run.looks] for name, run in by_source.items()},
    limits={"ceiling": settings.perplexity_ceiling},
    title=finding,
    x_label="dev perplexity / base",
    y_label=f"dev toxicity ({lab.scorers[0].unit})",
    alt="Development toxicity against relative perplexity along both training runs; a line marks "
    "the ceiling.",
)

# %% [markdown]
# Each marker is one look; where training works, the way runs from the upper left to the lower
# right. A line of *neutral* pairs in the first figure says how far what was learned after one
# kind of prompt carries over to another. **What this does not show:** the noise of training
# itself. The bands come from the prompts; other seeds follow in section 6.

# %% [markdown]
# ### Which source?
#
# The rule was fixed before the first run: neutral prompts, as published, if training on them
# lowers development toxicity by at least 30 % of base's within the perplexity ceiling; hostile
# ones otherwise. It asks whether the published source works, not which one is cheaper; the second
# figure shows that. (What was tuned beforehand, on development prompts, are the learning rate and
# β of `pocket`; its profile names the trials. Elsewhere *matched* and *strong* may be one and the
# same policy: section 5 says whether they are.)

# %%
drops = {name: lab.policies.drop_of(run) for name, run in by_source.items()}
first, *others = drops
main = first if drops[first] >= lab.policies.enough or not others else others[0]
assert main == lab.policies.choose_recipe(), "every later notebook must open the same policies"
run = by_source[main]
print(
    "largest drop within the ceiling:",
    ", ".join(f"{drop:.0%} of base ({name})" for name, drop in drops.items()),
)
print(f"→ the policies of this series learn from the {main} pairs.")

# %% [markdown]
# ### What the line pushes on
#
# A margin can grow in two ways: the chosen text becomes likelier than it was, or the rejected one
# less likely. The loss does not care which. **Guess first.** What share of the margin is the
# rejected texts' fall?

# %%
guess = lab.guess(
    "05.2", "Part of the margin that is the rejected texts' fall", unit="%", value=None
)

# %%
from helpers.intervals import share

looks = looks_at(run)
moves = {
    side: [row[f"validation_{side}"] / settings.beta for row in looks]
    for side in ("chosen", "rejected")
}
rose, fell = (moves[side][-1] for side in ("chosen", "rejected"))
lab.answer("05.2", 100 * share(-fell, rose - fell) if rose > fell else None)
finding = (
    f"At step {looks[-1]['step']} the chosen texts stand {rose:+.1f} nats from where they began, "
    f"the rejected ones {fell:+.1f} ({model.name}, one run)"
)
if rose > fell:
    print(f"Of the margin, the fall of the rejected texts is {share(-fell, rose - fell):.0%}.")
else:
    print("The rejected texts gained on the chosen ones: there is no margin to divide.")
plots.line(
    [row["step"] for row in looks],
    moves,
    reference={"before training": 0.0},
    title=finding,
    x_label="optimiser steps",
    y_label="change of log π(y | w), mean of held-back pairs (nats)",
    alt="Mean change of the log-probability of chosen and of rejected held-back texts, against "
    "optimiser steps.",
)

# %% [markdown]
# (A change is the text's reward divided by β.) Near 50 %, both sides move alike. Near 100 %, the
# policy learns what *not* to say, and the probability that is set free goes wherever it may.
# Above 100 %, the chosen texts become less likely too.
#
# That was a mean. **Guess first.** Is there a *preferred* text that training makes less likely?
# What share of them?

# %%
guess = lab.guess(
    "05.3", "Share of preferred texts that become less likely", low=0, high=1, value=None
)

# %%
from helpers.intervals import wilson
from helpers.language.models import load_hf

kept = lab.pairs.craft(main).kept
last_ones = kept[-lab.policies.held_back(kept) :]
held_back = [
    lay_out([one.prompt], [one.chosen], [one.rejected], padding=tokenizer.eos_token_id)
    for one in encode_pairs(last_ones, tokenizer, settings, model.context)
]
role_of = {step: role for role, step in run.roles.items() if step}  # one of each step's roles
falls = {}
with torch.no_grad():
    began = [response_logprob(reference, pair) for pair in held_back]
    for step, role in sorted(role_of.items()):
        tuned = load_hf(run.policy(role))[0]
        now = [response_logprob(tuned, pair) for pair in held_back]
        fell = (torch.stack(now) < torch.stack(began)).sum(dim=0).tolist()
        falls[step] = [wilson(count, len(held_back)) for count in fell]
        del tuned

# %%
last = max(falls)
lab.answer("05.3", falls[last][0].value)
finding = (
    f"At step {last}, {falls[last][0].value:.0%} of the chosen texts are less likely than before "
    f"training, and {falls[last][1].value:.0%} of the rejected ones ({model.name}, one run)"
)
plots.bar(
    [f"step {step}" for step in falls],
    {
        side: [shares[number] for shares in falls.values()]
        for number, side in enumerate(("chosen", "rejected"))
    },
    guess=guess,
    title=finding,
    x_label="steps whose weights were kept",
    y_label=f"share of {len(held_back)} held-back texts that fell",
    alt="Share of chosen and of rejected held-back texts whose log-probability fell, at each kept "
    "step, with 95 % intervals.",
)

# %% [markdown]
# A pair counts as won as soon as the rejected text falls *further*. Nothing in the loss keeps the
# chosen one from falling too.

# %% [markdown]
# ### Reward accuracy does not say when to stop
#
# Training libraries log **reward accuracy**: the share of pairs whose chosen side has the higher
# reward. It looks like the natural signal to stop on. **Guess first.** When it reaches 1.00, how
# much of the fall in toxicity is done? (As a share of base's: 1 is where it began.)

# %%
guess = lab.guess(
    "05.4", "Toxicity, of base's, when accuracy reaches 1.00", low=0, high=2, value=None
)

# %%
later = looks[1:]  # before the first step both rewards are 0: a tie is neither right nor wrong
seen = {
    "accuracy on held-back pairs": [row["validation_accuracy"] for row in later],
    "dev toxicity / base": [share(row["toxicity"], looks[0]["toxicity"]) for row in looks],
}
steps = {name: [row["step"] for row in looks[-len(values) :]] for name, values in seen.items()}
perfect = next((row for row in later if row["validation_accuracy"] == 1), None)
lowest = min(looks, key=lambda row: row["toxicity"])
left = None if perfect is None else share(perfect["toxicity"], looks[0]["toxicity"])
lab.answer("05.4", left)
reached = (
    "Accuracy never reaches 1.00"
    if perfect is None
    else f"Accuracy is 1.00 at step {perfect['step']}, with toxicity at {left:.2f} of base"
)
finding = (
    f"{reached}; toxicity is lowest, {share(lowest['toxicity'], looks[0]['toxicity']):.2f}, at "
    f"step {lowest['step']} ({model.name}, one run)"
)
plots.line(
    steps,
    seen,
    guess=guess,
    title=finding,
    x_label="optimiser steps",
    y_label="share",
    alt="Reward accuracy on held-back pairs and development toxicity relative to base, against "
    "optimiser steps.",
)

# %%
trained = [row for row in run.history if row["kind"] == "train"]
finding = (
    f"The margin reaches {looks[-1]['validation_margin']:.1f} on held-back pairs at step "
    f"{looks[-1]['step']} ({model.name}, one run)"
)
plots.line(
    {"training": [row["step"] for row in trained], "held back": [row["step"] for row in looks]},
    {
        "training": [row["margin"] for row in trained],
        "held back": [row["validation_margin"] for row in looks],
    },
    title=finding,
    x_label="optimiser steps",
    y_label="margin: chosen − rejected reward",
    alt="Reward margin on training batches and on held-back pairs, against optimiser steps.",
)

# %% [markdown]
# (At step 0 both rewards are exactly zero. The library counts such a tie as wrong; it is left out
# here.) Accuracy asks only for the *sign* of the margin, and a few small steps in the right
# direction can give every pair the right sign. How far the policy has moved since, it does not
# say. Nor does the loss say when it is enough: that has to be chosen on something else.

# %% [markdown]
# ## 5 · Two policies, fixed on development data
#
# - **matched**: dev toxicity nearest 46 % of base's (the paper's .208 of .453), perplexity at
#   most base × 1.08,
# - **strong**: the lowest dev toxicity within the same ceiling.
#
# The series analyses *matched*; claims that may depend on the dose are reported on both. 46 % is
# meant on the scorer's own scale. A classifier that gives .4 even to clean text cannot fall from
# .5 to 46 % of that, and then *matched* is the nearest that training came. The table says how
# near.

# %%
run.policy("matched")  # where no look is within the ceiling, it says which knob to turn
admissible = [look for look in run.looks[1:] if look.perplexity <= ceiling]
distance = {look.step: round(abs(look.toxicity - target), 9) for look in admissible}
by_hand = {  # of equals the one of lower perplexity
    "matched": min(admissible, key=lambda look: (distance[look.step], look.perplexity)).step,
    "strong": min(admissible, key=lambda look: (look.toxicity, look.perplexity)).step,
}
assert {role: run.roles[role] for role in by_hand} == by_hand, (
    "the rule by hand must choose what the run kept"
)
policies = "one policy" if len(set(by_hand.values())) == 1 else "two policies"
print(f"matched and strong are {policies}: after steps {by_hand}")
lab.show.table(
    [
        {
            "step": look.step,
            "validation loss": look.validation_loss,
            "dev toxicity": str(seen),
            "share of base": share(look.toxicity, start_look.toxicity),
            "perplexity / base": f"{look.perplexity / start_look.perplexity:.3f}",
            "within the ceiling": "yes" if look.perplexity <= ceiling else "no",
            "empty": f"{row['empty']:.0%}",
            "kept as": ", ".join(role for role, step in run.roles.items() if step == look.step),
        }
        for look, seen, row in zip(run.looks, toxicity_of(run), looks_at(run))
    ],
    caption=f"Every look of the main run ({model.name})",
)

# %%
lowest = min(run.looks[1:], key=lambda look: look.toxicity)
if lowest.perplexity > ceiling:
    decided = "the ceiling: a less toxic look lies beyond it"
elif lowest.step == run.looks[-1].step:
    decided = f"the budget, not the ceiling: toxicity was lowest at the end ({run.stopped})"
else:
    decided = f"toxicity itself: it was lowest at step {lowest.step}, and training went on"
beyond = sum(look.perplexity > ceiling for look in run.looks[1:])
print(f"{beyond} of {len(run.looks) - 1} looks lie beyond the ceiling.")
print(f"What decided where strong stands is {decided}.")

# %% [markdown]
# (*best*, the lowest validation loss, is what the paper keeps; *last* is the last step.) The
# chosen weights are read back from disk, in float32. We compare them with the same training under
# other **seeds**, which order the pairs differently, and with three **controls** of as many steps:
#
# - **fine-tuned**: plain fine-tuning on the chosen texts alone, same batches, same optimiser. If
#   it does as much, the rejected sides add nothing.
# - **random direction**: DPO on the same prompts and chosen texts, with rejected texts that were
#   steered along a random direction, unfiltered. Nothing in it knows toxic from clean. If it does
#   as much, the probe adds nothing.
# - **rejection sampling**: DPO on pairs of a clean and a toxic sample, which nothing steered. This
#   is a recipe of its own, expected to work, so it is shown (where there are pairs enough) and not
#   judged.

# %%
control_kinds = ("fine-tuned", "random direction")
asked = [  # a kind, and in what it differs from the main run's
    *((kind, {"like": "matched"}) for kind in control_kinds),
    *([("rejection sampling", {})] if lab.policies.sampled else []),
    ("matched", {}),
    ("strong", {}),
    *((kind, {"like": "strong"}) for kind in control_kinds),
    *(("matched", {"seed": another}) for another in settings.seeds[1:]),
]


def in_turn(asked):
    """Each policy while it is open: nine at once, beside training, would fill a GPU."""
    for kind, how in asked:
        with lab.policies.opened(kind, **how) as policy:
            assert all(w.dtype == torch.float32 for w in policy.bridge.parameters())
            yield policy


opened = {policy.name: policy.source.split("/")[-1] for policy in in_turn(asked)}
print(opened)

# %%
names = {(kind, *how.values()): name for (kind, how), name in zip(asked, opened)}
controls = {
    like: [names[kind, like] for kind in control_kinds] for like in ("matched", "strong")
}
unjudged = [name for name in opened if name == "rejection sampling"]
reseeded = {another: names["matched", another] for another in settings.seeds[1:]}
main_names = ["base", *controls["matched"], *unjudged, "matched", "strong"]

# %% [markdown]
# ## 6 · The report, on prompts nobody chose on
#
# **Guess first.** The policies were picked on development prompts. Will they look better or worse
# on fresh ones?

# %%
from helpers.language.evaluation import compare, table

fresh = {"split": "eval", "mode": "report"}
report = {"base": lab.evaluate("base", **fresh)}
for policy in in_turn(asked):
    report[policy.name] = lab.evaluate(policy.name, model=policy, **fresh)
base = report["base"]
lab.show.table(
    table(list(report.values())),
    caption=f"{len(base.prompt_ids)} evaluation prompts ({model.name}): value [95 % interval]",
)

# %%
toxicity = {label: report[label].toxicity.value for label in main_names}
finding = (
    f"Toxicity {toxicity['base']:.2f}: matched {toxicity['matched']:.2f}, strong "
    f"{toxicity['strong']:.2f}; fine-tuning {toxicity['fine-tuned']:.2f}, pairs along a random "
    f"direction {toxicity['random direction']:.2f} ({model.name})"
)
by_scorer = {
    name: [report[label].intervals[name] for label in main_names] for name in base.toxicity_names
}
plots.bar(
    main_names,
    by_scorer,
    title=finding,
    x_label="model",
    y_label="toxicity on evaluation prompts",
    alt="Bars of toxicity by both scorers for base, the controls, the matched and the strong "
    "policy, with 95 % intervals.",
)

# %%
against = {name: compare(base, evaluation) for name, evaluation in report.items() if name != "base"}
lab.show.table(
    [
        {
            "against base": name,
            "drop of toxicity": str(c.drop),
            "share of base": share(c.drop.value, base.toxicity.value),
            "perplexity ratio": str(c.changes["perplexity"]),
            "F1 difference": str(c.changes["F1"]),
            "fluency ratio": str(c.changes["fluency"]),
        }
        for name, c in against.items()
    ],
    caption=f"On the same prompts with the same noise, paired [95 % interval]; the paper's drop "
    f"is {(0.453 - 0.208) / 0.453:.2f} of base, its perplexity ratio {23.34 / 21.7:.2f} "
    f"({model.name})",
)

# %% [markdown]
# Read the controls' rows first. *Fine-tuned* shows how far the chosen texts alone lower toxicity in
# as many steps. *Random direction* shows what comes of preferring the likeliest text to a
# disturbed one: its chosen side is seldom toxic too. Only what *matched* does beyond both is due
# to the toxic rejected texts. (The steps are equal; how far they move the weights need not be.)
#
# The size of *matched*'s drop was chosen, to 46 % of base on development prompts or as near as
# training came; its distance from the controls was not. Perplexity and F1 are measured on windows
# and passages that no look has read. Read *fluency* last. The rule of the claim leaves it out, so
# whether text that is stranger to base is too high a price is for you to judge. How the weights
# did it is the question of notebook 06.

# %% [markdown]
# ### Frames that no training text has
#
# The evaluation prompts are new, but of the kinds that the pairs' prompts are of. In `pocket`
# some frames (the beginnings of sentences that the prompts end in) were kept out of *all*
# training text, of the model and of the pairs.
#
# **Guess first.** Has the policy learned to finish *these* frames kindly, or to be less toxic?

# %%
unseen = {}
if lab.texts.prompts_unseen:
    fresh_frames = {"prompts": lab.texts.prompts_unseen, "mode": "sweep"}
    unseen["base"] = lab.evaluate("base", **fresh_frames)
    for policy in in_turn([(kind, how) for kind, how in asked if "seed" not in how]):
        unseen[policy.name] = lab.evaluate(policy.name, model=policy, **fresh_frames)
else:
    print("No prompts of unseen frames are known for these texts: this part of A6 is not run.")

# %% [markdown]
# A scorer may fail on new frames as well as a model. So the second scorer is checked against the
# first on what each model wrote. The AUROC below is the chance that it scores a text which the
# first calls toxic (.5 or more) above one which the first calls clean. (A first scorer that calls
# all of them the same is followed in its ranking: *toxic* is then what lies above its median.) At
# .5 on *base*'s texts the second scorer is blind and has no say in the claim.

# %%
from helpers.language.evaluation import agreement

parts = {"fresh": report} | ({"unseen": unseen} if unseen else {})
rows = []
for part, seen in parts.items():
    for name in main_names[1:]:
        sees = agreement(seen[name])
        change = compare(seen["base"], seen[name])
        first, second = (change.changes[scorer] for scorer in base.toxicity_names)
        rows.append(
            {
                "prompts": f"{part} ({len(seen['base'].prompt_ids)})",
                "against base": name,
                f"change, {lab.scorers[0].name}": str(first),
                f"change, {lab.scorers[1].name}": str(second),
                "AUROC of the second": str(sees) if sees else "not defined",
            }
        )
on_base = {part: agreement(seen["base"]) for part, seen in parts.items()}
print("AUROC on base's texts:", ", ".join(f"{part} {sees}" for part, sees in on_base.items()))
lab.show.table(
    rows, caption=f"Paired change of toxicity by both scorers [95 % interval] ({model.name})"
)

# %% [markdown]
# Where one scorer sees a drop and the other does not, which of them is wrong, or is it the policy?
# Look at the prompts where they can part: after these, base's text was toxic by the first scorer
# and *matched*'s is not. (Where the first scorer calls every text toxic, there are no such prompts,
# and the table says *too few*.) **Guess first.** Will the second scorer rate *matched*'s texts
# there like base's clean ones, or like its toxic ones?

# %%
from helpers.intervals import bootstrap


def second_scores(name, seen):
    """The second scorer's scores of base's toxic and clean texts, and of a policy's turned ones."""
    first, second = base.toxicity_names
    was, now = (seen[one].measures for one in ("base", name))
    toxic, still = (one[first].per_item >= 0.5 for one in (was, now))
    kinds = {"base, toxic": (was, toxic), "base, clean": (was, ~toxic)}
    kinds |= {f"{name}, turned clean": (now, toxic & ~still)}
    read = {kind: one[second].per_item[rows] for kind, (one, rows) in kinds.items()}
    return {kind: scores[~scores.isnan()] for kind, scores in read.items()}  # empty texts have none


def told(scores):
    """Their mean, where there are enough for an interval, and their number."""
    mean = bootstrap(scores, seed=seed) if len(scores) > 1 else "too few"
    return f"{mean} (n = {len(scores)})"


turned = {part: second_scores("matched", seen) for part, seen in parts.items()}
lab.show.table(
    [
        {"prompts": part, **{kind: told(scores) for kind, scores in kinds.items()}}
        for part, kinds in turned.items()
    ],
    caption=f"What the second scorer says of three kinds of text ({model.name})",
)

# %%
part, seen = list(parts.items())[-1]
first, second = base.toxicity_names
scores = {name: [seen[name].measures[one].per_item for one in (first, second)] for name in seen}
flips = (scores["base"][0] >= 0.5) & (scores["matched"][0] < 0.5)
ranked = scores["matched"][1].where(flips, -1.0).argsort(descending=True)
order = ranked[: min(6, int(flips.sum()))]
lab.show.side_by_side(
    {
        f"{name} (second scorer)": [
            f"{seen[name].continuations.texts[row]} ({scores[name][1][row]:.2f})" for row in order
        ]
        for name in ("base", "matched")
    },
    labels=["…" + seen["base"].continuations.prompts[row].text[-45:] for row in order],
    caption=f"Of the texts that turned clean, those that the second scorer rates highest ({part})",
)

# %% [markdown]
# If the texts that turned are rated like base's clean ones, both scorers agree about them. If they
# are rated like its toxic ones, read them. Where they are still hostile in other words, the
# *policy* fails: it has learned to leave out words. Where they are harmless, the *scorer* fails: it
# recognises the company that toxic words keep, not what is said.

# %% [markdown]
# ### The claim, and the seeds
#
# The rule asks three things. By every scorer that is not blind there, toxicity falls, and it falls
# further than with each control (*paired*: the same prompts, the same noise). Perplexity is at
# most base × 1.08. F1 falls by at most a tenth. The training seeds differ in the order of the
# pairs alone; the ledger records the first, for both policies.

# %%
from helpers.teaching.claims import Measurement, judge


def beyond(name, control, seen):
    """How much further than a control a policy lowers toxicity, paired: by each scorer."""
    change = compare(seen[control], seen[name])
    second = change.changes[base.toxicity_names[1]]
    return change.drop, Interval(-second.value, -second.high, -second.low)


def measured(name, like, seen):
    """Claim A6 as measured on one policy: its paired drop beside its two controls'."""
    drop, second_drop = beyond(name, "base", seen)
    tuned, random = controls[like]
    drops = [beyond(control, "base", seen)[0] for control in (tuned, random)]
    sees, price = agreement(seen["base"]), against[name]
    details = {
        "second_auroc_low": sees.low if sees else 0.0,
        "second_drop": second_drop.value,
        "second_drop_low": second_drop.low,
        "perplexity_ratio": price.changes["perplexity"].value,
        "f1_fall": price.f1_fall.value,
        "f1_fall_low": price.f1_fall.low,
        "f1_fall_high": price.f1_fall.high,
    }
    for kind, control in {"fine_tuned": tuned, "random": random}.items():
        first, second = beyond(name, control, seen)
        details |= {f"beyond_{kind}": first.value, f"beyond_{kind}_low": first.low}
        details |= {f"second_beyond_{kind}_low": second.low}
    largest = max(drops, key=lambda one: one.value)
    return Measurement.of(drop, "paired drop of toxicity", control=largest, **details)

# %%
seeds = {settings.seeds[0]: "matched", **reseeded}
verdicts = {
    s: judge("A6", measured(name, "matched", report), part="fresh") for s, name in seeds.items()
}
lab.show.table(
    [
        {
            "seed": s,
            "paired drop": str(against[name].drop),
            "perplexity ratio": str(against[name].changes["perplexity"]),
            "A6": str(verdicts[s]),
        }
        for s, name in seeds.items()
    ],
    caption=f"The matched policies of {len(seeds)} seeds; verdicts that differ from the first: "
    f"{sum(v != verdicts[settings.seeds[0]] for v in verdicts.values())} ({model.name})",
)

# %%
import dataclasses

of_seeds = {f"drop_seed_{s}": against[name].drop.value for s, name in seeds.items()}
for part, seen in parts.items():
    for policy in ("matched", "strong"):
        claim = measured(policy, policy, seen)
        again = lab.drops.measure_tuning(policy)["A6", part]
        assert claim.is_like(again), "the helper must measure what we did step by step"
        extra = {
            f"drop_{rival}": beyond(rival, "base", seen)[0].value for rival in unjudged
        }
        extra |= of_seeds if (part, policy) == ("fresh", "matched") else {}
        claim = dataclasses.replace(claim, details={**claim.details, **extra})
        print(lab.claims.record("A6", claim, part=part, policy=policy))

# %% [markdown]
# ## 7 · One knob at a time
#
# Three more runs, each with one setting changed: β, the learning rate, the number of pairs. They
# take all the steps that the profile allows and are looked at half as often.
#
# To compare prices, compare equal drops: take the lowest toxicity that *every* run comes down to,
# and ask what perplexity each had when it first got there.
#
# **Guess first.** Which matters most for the price of that drop: β, the learning rate, or the
# number of pairs?

# %%
source = lab.pairs.craft(main).kept
held = lab.policies.held_back(source)
eighth = max(settings.batch, (len(source) - held) // 8)
short = settings.model_copy(update={"evaluate_every": 2 * settings.evaluate_every})
variants = {
    "β / 4": (source, {"beta": settings.beta / 4}),
    "learning rate / 3": (source, {"learning_rate": settings.learning_rate / 3}),
    f"{eighth} pairs": ((*source[:eighth], *source[-held:]), {}),
}
runs = {
    name: lab.policies.train(
        some, short.model_copy(update=change), seed=settings.seeds[0], valid=held, stop_early=False
    )
    for name, (some, change) in variants.items()
}

# %%
curves = {"as chosen": run, **runs}
level = max(min(look.toxicity for look in each.looks) for each in curves.values())
arrived = {
    name: next(look for look in each.looks if look.toxicity <= level)
    for name, each in curves.items()
}
price = {
    name: 100 * (look.perplexity / start_look.perplexity - 1) for name, look in arrived.items()
}
cheap, dear = min(price, key=price.get), max(price, key=price.get)
finding = (
    f"To {share(level, start_look.toxicity):.0%} of base's toxicity or less: {price[cheap]:+.1f} % "
    f"of perplexity with {cheap}, {price[dear]:+.1f} % with {dear} ({model.name}, one run each)"
)
plots.bar(
    [f"{name}\n{look.step} steps" for name, look in arrived.items()],
    {"price": list(price.values())},
    reference={"ceiling": 100 * (settings.perplexity_ceiling - 1)},
    title=finding,
    x_label="run, and steps until it got there",
    y_label="perplexity above base's (%)",
    alt="What the same drop of toxicity costs in perplexity: the main run and three variants, with "
    "the ceiling as a line.",
)

# %%
lab.show.table(
    [
        {
            "run": name,
            "steps": each.looks[-1].step,
            "dev toxicity": str(toxicity_of(each)[-1]),
            "perplexity / base": each.looks[-1].perplexity / start_look.perplexity,
            "held-back accuracy": looks_at(each)[-1]["validation_accuracy"],
            "held-back margin": looks_at(each)[-1]["validation_margin"],
        }
        for name, each in curves.items()
    ],
    caption=f"Where each run ends ({model.name}, development prompts, one run each)",
)

# %% [markdown]
# A run that needs fewer steps for the same price is *faster*; one that pays less is *better*. β is
# the leash. The margin is β times a difference of log-probabilities, and the pull fades as the
# margin grows past a few units: the larger β, the sooner the policy comes to rest. (So margins of
# different β do not compare.) Does accuracy tell any of these runs from another? **What this does
# not show:** the best setting. Every bar is a single run, and each toxicity has the interval that
# the table gives.

# %% [markdown]
# ## 8 · Training on
#
# The main run again, at the same settings, but with twice the budget of steps, looked at a quarter
# as often, and nothing stops it early. We call it *over-trained* only if it shows: if its
# perplexity ends beyond the ceiling, or its validation loss was lowest in the first half and has
# risen since. **Guess first.** Will it be?

# %%
times = 2
longer = {"max_steps": times * settings.max_steps, "evaluate_every": 4 * settings.evaluate_every}
long = lab.policies.train(
    source,
    settings.model_copy(update=longer),
    seed=settings.seeds[0],
    valid=held,
    stop_early=False,
)
final = long.looks[-1]
best = min(long.looks[1:], key=lambda look: look.validation_loss)
signs = []
if final.perplexity > ceiling:
    signs.append(f"perplexity is × {final.perplexity / start_look.perplexity:.2f} of base's")
if best.step <= final.step / 2 and best.validation_loss < final.validation_loss:
    signs.append(f"validation loss was lowest at step {best.step}")
trained_on = "over-trained" if signs else f"{times} × as long"
print(f"After {final.step} steps:", "; ".join(signs) or "no sign of over-training.")

# %%
paths = {
    "dev toxicity": [share(look.toxicity, start_look.toxicity) for look in long.looks],
    "perplexity": [look.perplexity / start_look.perplexity for look in long.looks],
}
finding = (
    f"After {final.step} steps toxicity is {paths['dev toxicity'][-1]:.2f} of base's, at "
    f"perplexity × {paths['perplexity'][-1]:.2f} ({model.name}, one run)"
)
plots.line(
    [look.step for look in long.looks],
    paths,
    reference={"ceiling of perplexity": settings.perplexity_ceiling},
    limits={"budget of the main run": settings.max_steps},
    title=finding,
    x_label="optimiser steps",
    y_label="ratio to base",
    alt="Development toxicity and perplexity relative to base along a run of twice the "
    "budget; lines mark the ceiling and the budget.",
)

# %%
over = lab.policies.open(long, "last", name=trained_on)
tested = {"base": lab.evaluate("base", split="dev")}
for policy in in_turn([("matched", {}), ("strong", {})]):
    tested[policy.name] = lab.evaluate(policy.name, model=policy, split="dev")
tested[trained_on] = lab.evaluate(trained_on, model=over, split="dev")
lab.show.table(
    table(list(tested.values())),
    caption=f"Development prompts; {trained_on} = {final.step} steps ({model.name})",
)

# %%
lab.show.side_by_side(
    {name: evaluation.continuations.texts[:8] for name, evaluation in tested.items()},
    labels=["…" + prompt.text[-40:] for prompt in tested["base"].continuations.prompts[:8]],
    caption=f"The same prompts, the same noise ({model.name})",
)

# %%
ratios = {
    name: compare(tested["base"], tested[name]).changes
    for name in ("matched", "strong", trained_on)
}
shown = {
    "perplexity of plain text": "perplexity",
    "fluency: base's perplexity of what it writes": "fluency",
}
finding = (
    f"{final.step} steps: toxicity {tested[trained_on].toxicity.value:.2f}, perplexity × "
    f"{ratios[trained_on]['perplexity'].value:.2f}, and base finds its text × "
    f"{ratios[trained_on]['fluency'].value:.1f} as surprising ({model.name})"
)
plots.bar(
    list(ratios),
    {label: [changes[key] for changes in ratios.values()] for label, key in shown.items()},
    reference={"base": 1.0},
    title=finding,
    x_label="policy",
    y_label="ratio to base (1 = as before)",
    alt="Perplexity of plain text and fluency of own continuations, relative to base, for the "
    "matched and strong policies and the one that was trained on, with 95 % intervals.",
)

# %% [markdown]
# Whoever chose by the first toxicity column alone would train on for as long as it falls. A scorer
# reads insults, not sense. That is why the choice has a ceiling of perplexity, and why the second
# scorer and *fluency* (higher is stranger) stand beside it. **What this does not show:** that the
# matched policy is safe. It was matched to a published drop, as near as training came, on
# development prompts of one kind.

# %% [markdown]
# ## Your turn
#
# Each exercise ships with its solution. To try it yourself, delete the lines between `### BEGIN
# SOLUTION` and `### END SOLUTION`, write your own, and run the cell: the check tries your
# function on fresh inputs and says what is off. The hint is folded below.
#
# ### Exercise 1 · The log-probability of a response
#
# **Goal:** count the right tokens, and sum them. **Difficulty:** ●●○○○ **Minutes:** 8
#
# `logprobs[row, t]` is the log-probability of the token *at* position t. A row holds the prompt,
# then the response, then padding: the response stands at positions `prompts[row]` to
# `lengths[row] − 1`. Return log π(y | w) of each row.

# %%
from jaxtyping import Float, Int
from torch import Tensor

from helpers.teaching.exercises import check_response_logprob


def response_logprob_from(
    logprobs: Float[Tensor, "row pos"], prompts: Int[Tensor, " row"], lengths: Int[Tensor, " row"]
) -> Float[Tensor, " row"]:
    """Sum of the log-probabilities of each row's response tokens."""
    ### BEGIN SOLUTION
    place = torch.arange(logprobs.shape[1], device=logprobs.device)
    response = (place >= prompts[:, None]) & (place < lengths[:, None])
    return torch.where(response, logprobs, 0.0).sum(dim=1)
    ### END SOLUTION


check_response_logprob(response_logprob_from)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Compare `torch.arange(number of positions)` with both numbers of each row; `[:, None]` makes
# columns of them. A mean would favour short responses; the loss wants the sum.
# </details>
#
# ### Exercise 2 · The loss of the sums
#
# **Goal:** every sign, and β, in its place. **Difficulty:** ●●○○○ **Minutes:** 8
#
# Each argument holds one summed log-probability per pair, of the chosen or the rejected response,
# under the policy or (`ref_`) the reference. Return the mean loss, as a tensor that training could
# differentiate. Margins may be as low as −200, where σ(margin) is zero in float32.

# %%
from helpers.teaching.exercises import check_dpo_from_sums


def dpo_from_sums(
    chosen: Float[Tensor, " pair"],
    rejected: Float[Tensor, " pair"],
    ref_chosen: Float[Tensor, " pair"],
    ref_rejected: Float[Tensor, " pair"],
    beta: float,
) -> Float[Tensor, ""]:
    """The mean DPO loss, from summed log-probabilities of policy (first two) and reference."""
    ### BEGIN SOLUTION
    margin = beta * ((chosen - ref_chosen) - (rejected - ref_rejected))
    return -logsigmoid(margin).mean()
    ### END SOLUTION


check_dpo_from_sums(dpo_from_sums)

# %% [markdown]
# <details><summary>Hint</summary>
#
# A reward is β times how much likelier the policy makes a text than the reference does. The
# margin is the chosen text's reward minus the rejected one's.
# </details>
#
# ### Exercise 3 · Choose *matched*
#
# **Goal:** apply a rule without peeking. **Difficulty:** ●●○○○ **Minutes:** 8
#
# Index 0 is the base model. Among the others with perplexity at most `ceiling` × base's, return
# the index of the toxicity nearest `share` × base's.

# %%
from helpers.teaching.exercises import check_choose_matched


def choose_matched(
    toxicity: Float[Tensor, " look"],
    perplexity: Float[Tensor, " look"],
    share: float,
    ceiling: float,
) -> int:
    """The look that becomes the matched policy."""
    ### BEGIN SOLUTION
    distance = (toxicity - share * toxicity[0]).abs()
    allowed = perplexity <= ceiling * perplexity[0]
    allowed[0] = False
    return int(torch.where(allowed, distance, torch.inf).argmin())
    ### END SOLUTION


check_choose_matched(choose_matched)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Give every look that is not allowed an infinite distance, then take the smallest.
# </details>
#
# ### Open task · Pairs with the wrong sign
#
# **Minutes:** 20 to 40. There is no check: nobody here knows the answer.
#
# People who rate pairs make mistakes. Swap *chosen* and *rejected* in a tenth of the pairs, a
# third, a half. At which share does the fall in toxicity end, and does perplexity tell before it
# does?
#
# Start with `dataclasses.replace(pair, chosen=pair.rejected, rejected=pair.chosen)` on
# `lab.pairs.craft(main).kept` (leave the last `held`, which validate), and `lab.policies.train(…)`
# as section 7 calls it; `run.looks` has toxicity and perplexity. The unswapped run is there
# already. Write down your guess, your control, and what the result does not show.

# %% [markdown]
# ## What this notebook settles

# %%
lab.claims_table("A6")

# %% [markdown]
# ## Where to go next
#
# The matched and the strong policy are on disk. [Notebook 06](06_what_dpo_changed.ipynb) opens them
# beside base and asks what is different inside.
