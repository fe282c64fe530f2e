"""A check is run on a subject: what else is passed is told in words."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import agnostic_rand as ar
from agnostic_rand.checks.check import Explainers
from agnostic_rand.errors import ArgumentError


@pytest.mark.parametrize("check", [ar.ModelRandomization(), ar.RandomLogit(), ar.ModelDecay()], ids=repr)
def test_a_model_in_the_place_of_the_subject_is_told_what_to_pass(check: ar.Check) -> None:
    with pytest.raises(ArgumentError, match=r"received a Linear\. Pass ar\.Subject\(model, inputs, targets\)"):
        check.run(torch.nn.Linear(4, 3), "gradient")
    with pytest.raises(ArgumentError, match="received a ndarray"):
        check.run(np.ones((2, 4)), "gradient")


@pytest.mark.parametrize("explainers", ["gradient", ["gradient"], {"mine": "gradient"}], ids=repr)
def test_a_check_of_the_model_itself_takes_no_explainers(explainers: Explainers) -> None:
    subject = ar.Subject(torch.nn.Linear(4, 3), np.eye(4, dtype=np.float32), seed=0)
    with pytest.raises(ArgumentError, match=r"none: ModelDecay asks about the model itself.*run\(subject\) alone"):
        ar.ModelDecay().run(subject, explainers)
