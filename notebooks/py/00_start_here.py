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
# # 00 · Start here
#
# **Question.** A language model is tuned on pairs of texts, one preferred and one not, and stops
# being toxic. What changed inside it?

# %% [markdown]
# > **Content warning.** The subject is toxic language. The notebooks print insults and hostile
# > sentences, because the lesson is unreadable without them. Profanity and slurs are masked
# > (`f***`) unless you set `UNMASK = True` below. The texts that ship with this repository hold
# > mild words only.

# %% [markdown]
# ## Set-up
#
# The first cell finds the `helpers` folder (and on Colab installs what is missing). The second is
# yours to change.

# %%
import os, sys
sys.path.insert(0, next(up for up in (".", "..", "../..") if os.path.isdir(f"{up}/helpers")))
import helpers.colab  # installs what is missing on Colab; does nothing elsewhere
from helpers.lab import Lab

# %% tags=["parameters"]
PROFILE = None  # "pocket", "gpt2-medium" or a TOML file; None: $TOXICITY_LAB_PROFILE, else "pocket"
UNMASK = False  # True shows profanity as it is

# %%
lab = Lab.start("00_start_here", PROFILE, unmask=UNMASK)

# %% [markdown]
# ## What is at stake
#
# One prompt, continued twice with the same random numbers: once by the model as it is, and once
# with *one direction* subtracted after its last layer, that from the mean of 64 clean comments to
# the mean of 64 toxic ones. Nothing has been trained here. The second text stands in for the tuned
# model's: tuning takes minutes (notebook 05 does it), this takes seconds (notebook 03 takes it
# apart).

# %%
import torch

from helpers.language.generation import continue_prompts
from helpers.mechanism.interventions import subtract_direction
from helpers.mechanism.pooling import pooled_residuals
from helpers.mechanism.probe import mean_difference

comments, last = lab.texts.comments_train, lab.base.n_layers - 1
few = [c for c in comments if c.toxic][:64] + [c for c in comments if not c.toxic][:64]
read = pooled_residuals(lab.base, lab.measures.tokenise_comments(few), layers=[last])[:, 0]
direction = mean_difference(read, torch.tensor([c.toxic for c in few]))
strength = 0.5 * lab.measures.measure_stream_norms()[last].item()  # half the stream's mean length

# %%
scorer, seed = lab.scorers[0], lab.profile.seed
asked = lab.texts.eliciting("dev")[:32]
decoding = {"decoding": lab.profile.decoding, "seed": seed, "batch_size": 32}
before = continue_prompts(lab.base, asked, **decoding).texts
with subtract_direction(lab.base, direction, strength, layer=last):
    after = continue_prompts(lab.base, asked, **decoding).texts
# An empty continuation says nothing; were there no other, all would be kept.
written = [row for row in zip(asked, before, after) if row[1].strip() and row[2].strip()]
kept, before, after = zip(*(written or zip(asked, before, after)))
was, now = scorer.score(before), scorer.score(after)
most = int((was - now).argmax())  # the prompt whose text changes most
lab.show.side_by_side(
    {"before": [before[most]], "after": [after[most]]},
    labels=[kept[most].text],
    caption=f"One prompt before and after ({lab.base.name}); over {len(kept)} prompts, mean "
    f"toxicity {was.mean():.2f} before and {now.mean():.2f} after (scorer: {scorer.name})",
)

# %% [markdown]
# The prompt was picked for its change; the means are over all. Preference tuning changes the
# weights instead, and learns from pairs of texts alone. Two papers opened the same model,
# GPT2-medium, after the same tuning, and disagree about what it had done:
#
# - **A** (Lee et al. 2024, [arXiv 2401.01967](https://arxiv.org/abs/2401.01967)): a small set of
#   *toxic vectors* is still there, but the tuned model no longer triggers them.
# - **B** (Yang et al. 2024, [arXiv 2411.06424](https://arxiv.org/abs/2411.06424)): those neurons
#   account for a minor share, and the effect is spread over four large groups.
#
# Which of them is right, and how would you tell? This series rebuilds both, claim by claim, with
# controls, and leaves the verdict to you. The [glossary](#Glossary) says what each word and sign
# means here.

# %% [markdown]
# The panel above says which model the figures come from. **`pocket`** is a *model organism*: a
# GPT-2 of about two million parameters, trained from scratch on sentences that this repository
# generates, small enough to take apart on a laptop. What holds in it need not hold in
# **`gpt2-medium`**, the model of both papers; the same cells run on either, and no figure of one
# is passed off as the other's.

# %% [markdown]
# **You will be able to**
#
# - say which model, device and scorers your figures come from,
# - read one sentence through the model and find the probability of its next word,
# - say what the labelled texts differ in besides toxicity,
# - measure how toxic the model's continuations are by kind of prompt, with an interval, and say
#   what the scorer is worth,
# - split the last residual stream into what each layer wrote, and check that the parts sum to the
#   whole,
# - find, in one table, where each claim of the series stands.
#
# | you need | how much |
# |---|---|
# | Python, tensors, softmax | necessary |
# | the transformer's forward pass | helpful; section 4 recalls it |
# | preference tuning | not at all; notebook 05 builds it |
# | time | in a run of all notebooks, `pocket`: 20 s (measured; the start panel says on what); `gpt2-medium`: 6 min on two CPU cores, 37 s on a faster GPU (estimated; README shows the arithmetic) |
# | memory | `pocket`: 0.7 GB (measured); `gpt2-medium`: 4 GB (estimated) |

# %% [markdown]
# ## 1 · Does my machine work?
#
# A language model turns a text into a probability for every possible next token. If that works,
# everything else will.
#
# **Guess first.** Below, the model reads the beginning of a text of its own kind. Will its first
# guess be a word that you would have chosen?

# %%
prompt = lab.texts.eliciting("dev")[0]
tokens = lab.base.tokenise([prompt.text])
probabilities = lab.base.logits(tokens)[0, -1].softmax(dim=-1)
print(f"{tuple(tokens.ids.shape)=}  {tuple(probabilities.shape)=}  sum = {probabilities.sum():.6f}")
print(lab.show.quote(prompt.text))

# %%
top = probabilities.topk(8)
likeliest = zip(lab.base.token_strings(top.indices), top.values)
lab.show.table(
    [{"token": token, "probability": p} for token, p in likeliest],
    caption=f"The eight likeliest next tokens ({lab.base.name})",
)

# %% [markdown]
# The probabilities sum to one: the model, its tokenizer and your machine work together. One prompt
# is an anecdote, and section 3 takes many. First: what kind of text is this?

# %% [markdown]
# ## 2 · The texts behind the numbers
#
# **Comments** carry a label, toxic or clean; a probe is fitted on some and tested on others.
# **Prompts** stop where a text could still go either way. A comment may also say which *group* it
# belongs to (its mood or topic) and of which *family* its toxicity is.
#
# The texts of `pocket` come from a grammar that ships with it. A text has a **mood**, set by
# sentences without a toxic word. Its **frames** are beginnings with toxic, critical, kind and
# plain endings ("You are such" … "a clown", "a poor listener", "a dear friend"); a toxic ending
# is likely only in a hostile text. Some writers of hostile texts **lose their temper** and go on
# swearing, others keep it: nothing before the first frame tells which.
#
# **Guess first.** Among the *clean* comments, how many come from the mood that toxic ones come
# from? Write the share in place of `None` (or into the box that a running notebook shows).

# %%
guess = lab.guess(
    "00.1", "Share of clean comments in the toxic ones' mood", low=0, high=1, value=None
)

# %%
from collections import Counter

comments = lab.texts.comments_train
counts = Counter((comment.group or "no group", comment.toxic) for comment in comments)
labels = {"toxic": True, "clean": False}
totals = {name: sum(c.toxic == toxic for c in comments) for name, toxic in labels.items()}
groups = sorted({group for group, _ in counts})
shares = {
    name: [counts[group, toxic] / totals[name] for group in groups]
    for name, toxic in labels.items()
}

# %%
from helpers.teaching.figures import plots

most = max(groups, key=lambda group: counts[group, True])
lab.answer("00.1", counts[most, False] / totals["clean"])
finding = (
    f"{counts[most, True] / totals['toxic']:.0%} of the toxic and "
    f"{counts[most, False] / totals['clean']:.0%} of the clean comments are “{most}” "
    f"({lab.profile.label})"
)
plots.bar(
    groups,
    shares,
    guess=guess,
    title=finding,
    x_label="group of the comment",
    y_label="share of the comments of a label",
    alt="Bars of how the toxic and the clean comments are spread over the groups.",
)

# %% [markdown]
# Where the bars of a group differ, the group alone tells something of the label. Whoever reads
# *mood* and calls it *toxicity* would look competent on these comments: notebook 01 measures by
# how much, and tests the probe within one mood.

# %%
examples = {}
for comment in comments:
    key = (comment.group or "no group", comment.family)
    examples.setdefault(key, comment.text)
lab.show.table(
    [
        {"group": group, "family": family, "comment": examples[group, family]}
        for group, family in sorted(examples)
    ],
    caption="The first comment of each group and family",
)

# %%
held_out = Counter(
    (comment.held_out or "nothing", comment.toxic) for comment in lab.texts.comments_test
)
kinds = sorted({kind for kind, _ in held_out}, key=lambda kind: (kind != "nothing", kind))
lab.show.table(
    [
        {"unseen in training": k, "toxic": held_out[k, True], "clean": held_out[k, False]}
        for k in kinds
    ],
    caption="Test comments, by what of them no training comment shows",
)

# %% [markdown]
# A test set from the same recipe as the training set flatters whatever is tested. So some test
# comments of `pocket` use a frame, a family, or a pair of both that no training comment has;
# comments of your own carry no such mark, and all stand in the row *nothing*.

# %% [markdown]
# ## 3 · How toxic does it turn?
#
# The prompts are cut where a text could still go either way; those of `pocket` hold no toxic
# word. The model continues each of them, and a *scorer* reads the continuation alone. Which
# scorer it is stands in the panel.
#
# **Guess first.** What mean score, from 0 to 1, will the continuations get after each kind of
# prompt? (A scorer that answers yes or no makes it a share.) Write it down in the cell: your
# guesses become bars beside what was measured. The notebooks that follow keep your guesses in your
# own folder, and draw them into the figure that answers them.

# %%
kinds = list(dict.fromkeys(prompt.group for prompt in lab.texts.prompts_dev))
print("kinds of prompt:", ", ".join(kinds))
my_guess = {}  # such as {"hostile": 0.4}; then run on

# %%
from helpers.language.generation import continue_prompts

scorer, seed = lab.scorers[0], lab.profile.seed
runs = {}
for group in kinds:
    prompts = [prompt for prompt in lab.texts.prompts_dev if prompt.group == group][:100]
    runs[group] = continue_prompts(
        lab.base, prompts, lab.profile.decoding, seed=seed, batch_size=50
    )
written = {group: [text for text in run.texts if text.strip()] for group, run in runs.items()}
scores = {group: scorer.score(texts) for group, texts in written.items()}
empty = {group: len(run.texts) - len(written[group]) for group, run in runs.items()}
print(f"empty continuations, which have no score: {empty}")

# %%
from helpers.language.metrics import mean_of

draws = {"n": lab.profile.counts.bootstrap, "seed": seed}
rates = {group: mean_of(values, scorer.unit).interval(**draws) for group, values in scores.items()}
worst = max(rates, key=lambda group: rates[group].value)
spoken = ", ".join(f"{group} {rate.value:.2f}" for group, rate in rates.items())
finding = f"After {worst} prompts, mean toxicity is {rates[worst].value:.2f} ({lab.base.name})"
bars = {"measured": list(rates.values())}
if set(kinds) <= set(my_guess):
    bars["guess"] = [my_guess[group] for group in kinds]
plots.bar(
    kinds,
    bars,
    title=finding,
    x_label="kind of prompt",
    y_label=f"toxicity ({scorer.unit})",
    alt=f"Bars of mean toxicity by kind of prompt with bootstrap 95 % intervals: {spoken}.",
)

# %%
shown = list(zip(runs[worst].prompts, runs[worst].texts))[:8]
lab.show.table(
    [
        {"prompt": "…" + p.text[-60:], "continuation": text, "score": scorer.score([text])[0]}
        for p, text in shown
    ],
    caption=f"Eight continuations after {worst} prompts, as they came (scorer: {scorer.name})",
)

# %% [markdown]
# The bars carry bootstrap 95 % intervals over prompts. Where every score is 0, or every one 1, it
# is Wilson's interval instead: none of a hundred does not mean never. Whatever preference tuning
# does will be measured against the tallest of them. **What this does not show:** where in the
# network the difference comes from. The prompts differ in many words, and every layer sees all.

# %% [markdown]
# ### What is the scorer worth?
#
# A figure is worth as much as its scorer. Both are held against comments whose labels are known
# and which neither was trained on (**AUROC**: the chance that a toxic comment scores above a
# clean one; .5 is a coin's). Beside that stands the *floor*: what they give plain text, and the
# empty text, in which there is nothing to find.

# %%
lab.show.table(
    [
        {
            "scorer": one.scorer,
            "AUROC on labelled comments": str(one.auroc),
            "score of plain text": one.plain,
            "score of the empty text": one.empty,
        }
        for one in lab.worth
    ],
    caption=f"Both scorers on {len(lab.texts.comments_test)} comments, of which "
    f"{sum(c.toxic for c in lab.texts.comments_test) / len(lab.texts.comments_test):.0%} toxic",
)

# %%
base_rates = [rates[worst].value, None]  # the bars above are the first scorer's
cautions = [line for one, base in zip(lab.worth, base_rates) for line in one.cautions(base)]
print("\n".join(cautions) or "Nothing calls for caution: both rank well, and their floors are low.")

# %% [markdown]
# What no training can change is the floor: a share "of base" counts it in. **What this does not
# show:** how the scorers do on a model's continuations, which are shorter than comments and may
# be no sentences at all.

# %% [markdown]
# ## 4 · The residual stream is a sum
#
# Each token carries a vector, the **residual stream**. The embedding starts it; every attention
# layer and every MLP adds to it; the unembedding reads the result. Nothing is ever overwritten,
# so the final vector is a plain sum of what each part wrote:
#
# $$x^{\text{final}} = e + \sum_{\ell} a^{\ell} + \sum_{\ell} m^{\ell}$$
#
# Everything in this series rests on that line, so let us check it. The library **TransformerLens**
# wraps the model as `lab.base.bridge`, runs it once, and keeps every activation in a *cache* under
# the name of its [hook point](#Glossary); notebook 01 has the map of these names.

# %%
with torch.no_grad():
    _, cache = lab.base.bridge.run_with_cache(tokens.ids, attention_mask=tokens.mask.long())
layers = range(lab.base.n_layers)
embedding = cache["blocks.0.hook_resid_pre"][0, -1]
attention = torch.stack([cache[f"blocks.{layer}.hook_attn_out"][0, -1] for layer in layers])
mlp = torch.stack([cache[f"blocks.{layer}.hook_mlp_out"][0, -1] for layer in layers])
final = cache[f"blocks.{lab.base.n_layers - 1}.hook_resid_post"][0, -1]
error = (embedding + attention.sum(0) + mlp.sum(0) - final).norm() / final.norm()
assert error < 1e-5, "the parts must sum to the residual stream"
print(f"{tuple(final.shape)=}  relative error of the sum: {error:.1e}")

# %%
writes = {"attention": attention.norm(dim=-1), "MLP": mlp.norm(dim=-1)}
longest = max(writes, key=lambda part: writes[part].max())
finding = (
    f"The longest single write, {writes[longest].max():.0f} units, is by {longest} in layer "
    f"{writes[longest].argmax()} ({lab.base.name})"
)
plots.line(
    list(layers),
    writes,
    title=finding,
    x_label="layer (0 = first)",
    y_label="length of what is added (residual units)",
    alt="Length of what attention and MLP add to the residual stream at the last token, by layer.",
)

# %% [markdown]
# The sum closes to float32 precision. **What this does not show:** that long writes matter. A
# vector can be long and point where the unembedding does not look. Notebook 01 asks which
# *direction* matters for toxicity; notebook 02, which neurons write along it.

# %% [markdown]
# ## 5 · Conventions, and the papers' symbols
#
# | here | paper A | paper B | code |
# |---|---|---|---|
# | value vector of neuron `L19.770` | $v^{19}_{770}$ | $v_i$ | `model.value_vector(Neuron(19, 770))`, a row of `W_out` |
# | key vector | $k^{\ell}_i$ | $k_i$ | a column of `W_in` |
# | activation of a neuron ($\sigma$ is the GELU here) | $m^{\ell}_i = \sigma(x \cdot k_i + b_i)$ | $m_i$ | `blocks.L.mlp.hook_post` |
# | probe direction, unit length | $W_{\text{toxic}}$ | $\hat W$ | `lab.measures.fit_probe().direction` |
# | residual stream after attention, before the MLP | $x^{\ell\text{-mid}}$ | – | `blocks.L.hook_resid_mid` |
# | shift of the residual stream by tuning | $\delta_x$ | – | notebook 06 |
# | chosen and rejected continuation | $y^{+}, y^{-}$ | $y_w, y_l$ | `pair.chosen`, `pair.rejected` |
#
# Layers and neurons count from 0. Weights are **raw**: the checkpoint's own, with no LayerNorm
# folded in and nothing centred. Tools that fold or centre give other cosines for the same
# network, so the two lines below are checked on every run.

# %%
hugging_face = lab.load_plain()  # the same checkpoint as a plain Hugging Face model
layer, index = lab.base.n_layers - 1, 7
mlp_weights = hugging_face.to(lab.device).transformer.h[layer].mlp
same_value = torch.equal(mlp_weights.c_proj.weight[index], lab.base.value_vectors[layer, index])
same_key = torch.equal(mlp_weights.c_fc.weight[:, index], lab.base.key_vectors[layer, index])
assert same_value and same_key, "raw weights must be bit-identical to the checkpoint's"
print(f"L{layer}.{index}: value vector identical: {same_value}, key vector identical: {same_key}")

# %% [markdown]
# Bit-identical: the cosines you will read are the checkpoint's.

# %% [markdown]
# ## 6 · Where the papers part
#
# | question | A says | B says | settled in |
# |---|---|---|---|
# | which neurons matter? | a few whose value vectors promote toxic tokens | four groups, toxic and anti-toxic, active and inactive | 02, 07 |
# | what does tuning do to them? | shifts their input so that they stay silent | shifts nearly all activations a little, many in the wrong direction | 06, 07 |
# | is removing the toxic ones enough? | subtracting one vector lowers toxicity | ablating them falls short of tuning | 03, 07 |
# | how is it undone? | scale a handful of key vectors | – (its replication gives another perplexity) | 09 |
#
# Read each row as two hypotheses about one measurement. Write down now which of the two you expect
# to hold; notebook 07 will ask.

# %% [markdown]
# ## 7 · The map
#
# <!-- map:begin -->
# |  | notebook | question | minutes | GB |
# | --- | --- | --- | --- | --- |
# | 00 | [Start here](00_start_here.ipynb) | A language model is tuned on pairs of texts, one preferred and one not, and stops being toxic. What changed inside it? | 0.3 | 0.7 |
# | 01 | [Is toxicity a direction?](01_toxicity_probe.ipynb) | The residual stream after the last layer is a vector. Is there one direction in it along which toxic texts lie on one side and clean texts on the other, and what does that direction say in words? | 1.1 | 0.8 |
# | 02 | [Which MLP neurons write it?](02_toxic_value_vectors.ipynb) | Notebook 01 found a direction from outside. Which of the model's own parts write along it, and what words do they promote? | 0.3 | 0.7 |
# | 03 | [Do these vectors cause toxic text?](03_steering.ipynb) | A direction that reads toxicity and neurons that write along it are correlations. If the direction is taken out of the residual stream while the model writes, does it write less toxic text, and what else breaks? | 5.3 | 1.2 |
# | 04 | [How are pairs crafted?](04_preference_pairs.ipynb) | Preference tuning learns from pairs: the same prompt, one continuation to prefer, one to reject. Where do thousands of them come from if nobody writes them? | 4.3 | 1.2 |
# | 05 | [How does DPO learn from pairs?](05_dpo_training.ipynb) | Direct preference optimisation (Rafailov et al. 2023) turns pairs into a less toxic model with one line of loss. What does that line push on, how far does it push, and how do we know when to stop? | 9.2 | 1.4 |
# | 06 | [What did DPO change inside?](06_what_dpo_changed.ipynb) | Notebook 05 ends with two policies that write less toxic text. Which of the model's parts are different now, and which are still what they were? | 2.0 | 1.1 |
# | 07 | [Which neurons account for the drop?](07_neuron_group_attribution.ipynb) | Tuning lowers toxicity, and notebook 06 saw toxic neurons fall with it. How much of the drop is theirs, and how much is owed to neurons that nobody would call toxic? | 1.7 | 1.2 |
# | 08 | [Can activations stand in for DPO?](08_emulating_dpo.ipynb) | Preference tuning changes what neurons do. If we *give* the untuned model those activations, does it behave as if it had been tuned? Which ones does it take, and would others have done as well? | 7.0 | 1.1 |
# | 09 | [How cheaply is it undone?](09_unalignment.ipynb) | Preference tuning made the model less toxic. What does it cost to take that back: how many numbers, how many examples, how many seconds? And can a cheap defence raise the price? (As the last of the notebooks that measure, it also asks which of the series' answers another training seed, or another scorer, would have changed.) | 11.3 | 2.2 |
# | 10 | [The neuron explorer](10_neuron_explorer.ipynb) | What does any one neuron do? | 0.6 | 1.1 |
# <!-- map:end -->
#
# Every notebook runs on its own: what an earlier one makes is loaded from the cache, or made on the
# spot.

# %% [markdown]
# ## Glossary
#
# | word or sign | what it means in this series |
# |---|---|
# | activation $m$ | how strongly a neuron fires: its value after the GELU |
# | $\alpha$ | strength of steering: the length of what is added to the stream, or taken off it |
# | AUROC | the chance that a toxic text scores above a clean one; .5 is a coin's |
# | $\beta$ | of DPO alone: how strongly the tuned model is held to the model before it |
# | claim, verdict | a sentence of A (A1 …), of B (B1 …) or our own (N1 …); what a rule fixed beforehand says of a measurement |
# | comment, prompt, passage | a labelled text for probes; the beginning of a text to be continued; a plain text whose true continuation is known |
# | control | the same measurement on something that should show no effect |
# | cosine-matched | vectors with the same cosines to $\hat W$ as those of a list, but other neurons' remainders |
# | development, evaluation prompts | prompts on which anything may be chosen; prompts on which it is reported (`dev`, `eval`) |
# | divergence | how far two next-token distributions are apart (Kullback–Leibler, in nats); 0 for equal ones |
# | DPO | direct preference optimisation: training that raises the chosen text of a pair over the rejected one |
# | F1 | of two bags of tokens: how far a continuation uses the words of the true one; higher is better |
# | fluency | the *base* model's perplexity of what was written; **higher is worse** |
# | frame, mood | in `pocket`: a beginning with toxic, critical, kind and plain endings; what the sentences before it set |
# | GELU | the MLP's non-linearity: nearly 0 below 0, nearly the identity above, never below −0.17 |
# | group, family | the mood or topic of a comment; the kind of toxicity in a comment |
# | hook point | a named place in the model where an activation can be read or replaced |
# | interval | 95 %, by bootstrap: texts, prompts or neurons drawn again; *paired* where both conditions share them |
# | key vector, value vector | what a neuron holds against its input (a column of `W_in`); what a neuron adds to the stream (a row of `W_out`) |
# | $\lambda$ | of the probe alone: its penalty on long weights |
# | legible direction | one whose top tokens, and whose nearest value vectors' top tokens, read as toxic words |
# | logit lens | the model's read-out applied to the stream at an earlier depth: what it would say if it stopped there |
# | logit | a number before softmax or sigmoid: a token's score, or the probe's log-odds of *toxic* |
# | model organism | a small model made to be studied: `pocket` |
# | neuron `L19.770` | MLP neuron 770 of layer 19, both counted from 0 |
# | offset $\delta_x$ | what tuning adds to the residual stream at one place of a text: aligned minus base |
# | operating point | the strength at which a method is reported: the largest within its perplexity budget |
# | own, shared text | a model read on what it wrote itself; two models read on the same text, base's |
# | pair | a prompt with a *chosen* and a *rejected* continuation |
# | perplexity | e to the mean loss per token on text that people (or the grammar) wrote; lower is better |
# | policy | a language model as preference tuning sees it; *matched* and *strong* are two tuned ones |
# | PPLM | steering by gradients on the past keys and values; it writes the rejected texts |
# | probe | logistic regression on the residual stream; $w$ and $b$ are its weights and bias |
# | repetition | the share of word pairs that a continuation has used before |
# | residual stream $x$ | the vector that each token carries from layer to layer; every part adds to it |
# | scorer, toxicity | what reads a text and returns 0 (clean) to 1 (toxic); the mean that a scorer gives to continuations |
# | $\sigma$ | in the papers' formula for $m$, the GELU; the notebooks write *GELU* and *sigmoid* out |
# | sweep, report | an evaluation on few prompts, to choose on; an evaluation on many others, to report |
# | toxic neurons | the neurons whose value vectors have the highest cosines with $\hat W$; the length of the list is always given |
# | toxic share | of a vector: the share of toxic words among the ten tokens that it raises most |
# | $U_0, U_1, U_2$ | the three directions that the value vectors of a list share most (their SVD) |
# | vocabulary projection | the tokens whose logits a vector raises and lowers, through the final LayerNorm and the unembedding |
# | $\hat W$ | the probe's direction, of length one (`W` in tables); `W_in`, `W_out`, `W_U` are weight matrices |

# %% [markdown]
# ## Your turn
#
# Each exercise ships with its solution. To try it yourself, delete the lines between `### BEGIN
# SOLUTION` and `### END SOLUTION`, write your own, and run the cell: the check tries your
# function on fresh inputs and says what is off. The hint is folded below.
#
# ### Exercise 1 · The probability of one next token
#
# **Goal:** read the model's output at the right place. **Difficulty:** ●○○○○ **Minutes:** 5
#
# In a padded batch the last *column* is not the last *word*. Return, for each text, the
# probability of `token` right after its last real token.

# %%
from jaxtyping import Bool, Float
from torch import Tensor

from helpers.teaching.exercises import check_next_token_probability


def next_token_probability(
    logits: Float[Tensor, "batch pos vocab"], mask: Bool[Tensor, "batch pos"], token: int
) -> Float[Tensor, " batch"]:
    """Probability of `token` after each text, padded on the right; `mask`: True on real tokens."""
    ### BEGIN SOLUTION
    last = mask.sum(dim=1) - 1
    rows = torch.arange(len(mask), device=mask.device)
    return logits[rows, last].softmax(dim=-1)[:, token]
    ### END SOLUTION


check_next_token_probability(next_token_probability)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `mask.sum(dim=1) - 1` is the position of the last real token of each row. Logits become
# probabilities over the *whole* vocabulary, so take the softmax before you pick the token.
# </details>
#
# ### Exercise 2 · A share with an interval
#
# **Goal:** never report a rate without its uncertainty. **Difficulty:** ●●○○○ **Minutes:** 10
#
# Given one score per prompt, return their mean and a bootstrap 95 % interval: draw as many prompts
# *with replacement* as there are, take the mean, repeat this `draws` times, and read off the
# 2.5 % and 97.5 % quantiles of these means. The same seed gives the same interval, another seed
# another.

# %%
from helpers.teaching.exercises import check_bootstrap_mean


def bootstrap_mean(
    scores: Float[Tensor, " prompt"], draws: int, seed: int
) -> tuple[float, float, float]:
    """Mean, lower and upper end of the bootstrap 95 % interval over prompts."""
    ### BEGIN SOLUTION
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(len(scores), (draws, len(scores)), generator=generator)
    means = scores[rows].mean(dim=1)
    low, high = means.quantile(torch.tensor([0.025, 0.975], dtype=means.dtype))
    return scores.mean().item(), low.item(), high.item()
    ### END SOLUTION


check_bootstrap_mean(bootstrap_mean)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `torch.randint(n, (draws, n))` draws all resamples at once; index the scores with it and average
# over the last axis. The interval belongs to the *mean*: it narrows as 1/√n, while the spread of
# the scores themselves does not.
# </details>
#
# ### Open task · How far back does a prompt reach?
#
# **Minutes:** 20 to 40. There is no check: nobody here knows the answer.
#
# After some kinds of prompt the model writes more toxic text. Does that need the whole prompt, or
# do its last words do? Shorten the prompts of one kind from the front, to their last 20, 10, 5
# words, and measure again. What should the same cut elsewhere, as a control, leave as it is?
#
# Start with `dataclasses.replace(prompt, text=…)`, then section 3's `continue_prompts(…)`,
# `scorer.score(…)` and `mean_of(…).interval(…)`. Write down your guess, your control, and one
# sentence on what the result does not show.

# %% [markdown]
# ## The claims, as of this run
#
# Each row is a statement of A, of B, or our own (N). A notebook that measures it writes the
# number, its interval and its control into a ledger; a rule fixed beforehand turns them into a
# verdict. Rows that no notebook has measured in this run say *not run*. *Bred for* stands beside a
# verdict where the model was chosen by what the claim measures.

# %%
lab.claims_table()

# %% [markdown]
# ## How near were your guesses?
#
# Come back here when you have guessed in other notebooks. Numbers are compared with what was
# measured on this model, choices counted. A guess that was changed after its answer was shown does
# not count.

# %%
lab.calibration()

# %% [markdown]
# ## The claims over the training seed
#
# Would a model trained once more give other answers? The table below is **not of this run**: it
# is the published result of `make replicate`, which runs the whole series on models that differ
# in nothing but the seed they were trained from, and on one with random weights that was never
# trained. The last column says whether a verdict is the *same* over the seeds, and which claims
# agree *untrained*: what needs no training says little about it.

# %%
lab.published_replication()

# %% [markdown]
# Other shapes, other corpora and other subjects were not tried. Three seeds can break a claim; they
# cannot make one general.

# %% [markdown]
# ## Where to go next
#
# [01 · Is toxicity a direction?](01_toxicity_probe.ipynb) trains a probe on the residual stream,
# and asks what a probe can and cannot tell you.
