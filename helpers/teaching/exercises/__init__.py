"""The checks of the notebooks' exercises, one module for each notebook."""

from helpers.teaching.exercises.attribution import (
    check_as_near,
    check_neurons_for_half,
    check_toxic_share,
)
from helpers.teaching.exercises.changes import check_first_direction_share, check_split_change
from helpers.teaching.exercises.emulation import (
    check_constant_and_shift,
    check_divergence_explained,
    check_recovered_share,
)
from helpers.teaching.exercises.explorer import check_fires_before, check_unexpected_neuron
from helpers.teaching.exercises.preference import (
    check_choose_matched,
    check_dpo_from_sums,
    check_fuse,
    check_pplm_step,
    check_response_logprob,
)
from helpers.teaching.exercises.probe import check_auroc, check_masked_mean, check_mean_difference_direction
from helpers.teaching.exercises.start import check_bootstrap_mean, check_next_token_probability
from helpers.teaching.exercises.steering import check_perplexity, check_subtract_everywhere
from helpers.teaching.exercises.unalignment import check_scaled_pre, check_strongest_setting
from helpers.teaching.exercises.vectors import (
    check_cosine_to_probe,
    check_first_svd_direction,
    check_mlp_as_sum,
)

__all__ = [
    "check_as_near",
    "check_auroc",
    "check_bootstrap_mean",
    "check_choose_matched",
    "check_constant_and_shift",
    "check_cosine_to_probe",
    "check_divergence_explained",
    "check_dpo_from_sums",
    "check_fires_before",
    "check_first_direction_share",
    "check_first_svd_direction",
    "check_fuse",
    "check_masked_mean",
    "check_mean_difference_direction",
    "check_mlp_as_sum",
    "check_neurons_for_half",
    "check_next_token_probability",
    "check_perplexity",
    "check_pplm_step",
    "check_recovered_share",
    "check_response_logprob",
    "check_scaled_pre",
    "check_split_change",
    "check_strongest_setting",
    "check_subtract_everywhere",
    "check_toxic_share",
    "check_unexpected_neuron",
]
