"""What each perturbation does to a weight: its law, checked on arrays large enough to see it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from agnostic_rand.adapters import Parameter, Role, distinct_axes, strided_axes
from agnostic_rand.errors import ArgumentError, ModelError, UnknownNameError
from agnostic_rand.weights import (
    FullRandomization,
    GaussianNoise,
    MatchedNormal,
    MultiplicativeNoise,
    NativeInit,
    Permute,
    PoissonNoise,
    Reinitialize,
    Uniform,
)
from agnostic_rand.weights.perturbations import default_statistics, resolve_perturbation

from .fakes import Array

KERNEL = Parameter("weight", (400, 500), "float32", "kernel", ("in", "out"))
TRAINED = np.random.default_rng(1).normal(0.3, 0.7, KERNEL.shape)


def draw(perturbation: Any, value: Array = TRAINED, parameter: Parameter = KERNEL, seed: int = 0) -> Array:
    drawn: Array = perturbation(value, parameter, np.random.default_rng(seed))
    assert drawn.shape == value.shape
    return drawn.astype(np.float64)


def named(role: Role, shape: tuple[int, ...], axes: tuple[str, ...] | None = None) -> Parameter:
    return Parameter("p", shape, "float32", role, axes)


def same_law(drawn: Array, law: Any) -> bool:
    return bool(stats.kstest(drawn.ravel(), law.cdf).pvalue > 1e-3)


@pytest.mark.parametrize("factor", [2.0, 0.5])
def test_kernels_are_redrawn_from_a_truncated_normal_of_variance_factor_by_fan_in(factor: float) -> None:
    drawn = draw(Reinitialize(factor))
    sd = np.sqrt(factor / 400)
    scale = sd / stats.truncnorm(-2, 2).std()
    assert drawn.std() == pytest.approx(sd, rel=0.01)
    assert abs(drawn).max() <= 2 * scale * (1 + 1e-6)
    assert same_law(drawn, stats.truncnorm(-2, 2, scale=scale))


@pytest.mark.parametrize(
    ("shape", "axes", "fan_in"),
    [
        ((64, 32), ("in", "out"), 64),
        ((32, 64), ("out", "in"), 64),
        ((16, 8, 3, 5), ("out", "in", "h", "w"), 120),
        ((3, 5, 8, 16), ("h", "w", "in", "out"), 120),
        ((8, 16, 3, 3), ("in", "out", "h", "w"), 72),
        ((3, 3, 32, 2), ("h", "w", "groups", "multiplier"), 9),
        ((2, 3, 4, 8, 16), ("d", "h", "w", "in", "out"), 192),
        ((3, 5, 16, 8), ("h/2", "w/3", "out", "in"), 20),
        ((8, 16, 3, 3), ("in/4", "out", "h/2", "w"), 9),
        ((4, 6, 8, 16), ("in", "in2/3", "out", "out2"), 8),
        ((2, 3, 64, 8), ("h/4", "w/4", "out", "in"), 3),
        ((1, 1, 64, 2), ("h/4", "w/4", "out", "in"), 1),
    ],
)
def test_the_fan_in_is_what_one_output_sums_over(
    shape: tuple[int, ...], axes: tuple[str, ...], fan_in: int
) -> None:
    parameter = named("kernel", shape, axes)
    assert parameter.fan_in == fan_in
    spread = np.mean([draw(Reinitialize(), np.zeros(shape), parameter, seed).var() for seed in range(20)])
    assert spread == pytest.approx(2 / fan_in, rel=0.05)


@pytest.mark.parametrize("axis", ["h/", "h/none", "h/0", "h/-2", "h/inf", "h/2/2", "out/2", "out2/2", "groups/2"])
def test_a_share_is_a_number_above_zero_of_what_is_summed_over(axis: str) -> None:
    with pytest.raises(ModelError, match=f"received '{axis}'.*above 0 behind the '/'"):
        named("kernel", (3, 4), (axis, "in"))


def test_numbers_stand_before_shares() -> None:
    assert distinct_axes(["in/2", "out", "in/3", "out"]) == ("in/2", "out", "in2/3", "out2")
    assert strided_axes(("in", "out", "h", "w"), (4, 1, 2, 1)) == ("in/4", "out", "h/2", "w")


def test_one_kernel_is_drawn_whatever_the_place_of_its_shares() -> None:
    one = named("kernel", (3, 5, 4, 8), ("h/2", "w/3", "out", "in"))
    other = named("kernel", (8, 4, 3, 5), ("in", "out", "h/2", "w/3"))
    assert one.canonical() == other.canonical()
    assert one.canonical().axes == ("h/2", "w/3", "in", "out")


def test_biases_shifts_and_scales_are_those_of_a_fresh_layer() -> None:
    trained = np.array([3.0, -2.0, 7.0])
    expected: dict[Role, float] = {"bias": 0, "shift": 0, "mean": 0, "scale": 1, "variance": 1}
    for role, value in expected.items():
        np.testing.assert_array_equal(draw(Reinitialize(), trained, named(role, (3,))), [value] * 3)


@pytest.mark.parametrize("perturbation", [Reinitialize(), NativeInit()])
def test_arrays_without_a_known_role_keep_mean_and_deviation_only(perturbation: Any) -> None:
    parameter = named("other", KERNEL.shape)
    np.testing.assert_array_equal(
        draw(perturbation, parameter=parameter), draw(MatchedNormal(), parameter=parameter)
    )


def test_matched_normals_have_the_trained_mean_and_deviation() -> None:
    drawn = draw(MatchedNormal())
    assert same_law(drawn, stats.norm(TRAINED.mean(), TRAINED.std()))
    assert np.corrcoef(drawn.ravel(), TRAINED.ravel())[0, 1] == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("value", [0.25, -3.0, 1e-20])
def test_matched_normals_of_constant_arrays_forget_the_constant_and_keep_its_size(value: float) -> None:
    drawn = draw(MatchedNormal(), np.full((100, 200), value), named("other", (100, 200)))
    assert same_law(drawn, stats.norm(0, abs(value)))
    assert draw(MatchedNormal(), np.full((1,), value), named("other", (1,)))[0] != value


def test_matched_normals_of_zeros_stay_zeros() -> None:
    np.testing.assert_array_equal(draw(MatchedNormal(), np.zeros((3, 4)), named("other", (3, 4))), 0)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "perturbation",
    [Reinitialize(), Permute(), MatchedNormal(), Uniform(), GaussianNoise(1, relative=True), PoissonNoise(10)],
    ids=repr,
)
@pytest.mark.parametrize("role", ["kernel", "other"])
def test_parameters_without_elements_are_drawn_without_a_warning(perturbation: Any, role: Role) -> None:
    assert draw(perturbation, np.zeros((0, 3)), named(role, (0, 3))).shape == (0, 3)


@pytest.mark.parametrize("kind", [np.float64, np.int8])
def test_permutations_keep_every_value_and_no_order(kind: Any) -> None:
    trained = (TRAINED * 20).astype(kind)
    drawn = Permute()(trained, KERNEL, np.random.default_rng(0))
    assert drawn.dtype == kind
    np.testing.assert_array_equal(np.sort(drawn, axis=None), np.sort(trained, axis=None))
    assert np.corrcoef(drawn.ravel(), trained.ravel())[0, 1] == pytest.approx(0, abs=0.01)
    rows = np.corrcoef(drawn.mean(axis=1), trained.mean(axis=1))[0, 1]
    assert rows == pytest.approx(0, abs=0.2), "elements move between rows too"


def test_uniform_draws_ignore_the_layer() -> None:
    drawn = draw(Uniform(-2, 3))
    assert same_law(drawn, stats.uniform(-2, 5))
    assert same_law(draw(Uniform()), stats.uniform(0, 1))


def test_gaussian_noise_is_added_in_absolute_or_relative_size() -> None:
    assert same_law(draw(GaussianNoise(0.2)) - TRAINED, stats.norm(0, 0.2))
    assert same_law(draw(GaussianNoise(0.2, relative=True)) - TRAINED, stats.norm(0, 0.2 * TRAINED.std()))


def test_multiplicative_noise_is_around_one() -> None:
    assert same_law(draw(MultiplicativeNoise(0.3)) / TRAINED, stats.norm(1, 0.3))


@pytest.mark.parametrize(
    "perturbation", [GaussianNoise(0), MultiplicativeNoise(0), GaussianNoise(0, relative=True)]
)
def test_noise_of_size_zero_changes_nothing(perturbation: Any) -> None:
    np.testing.assert_array_equal(draw(perturbation), TRAINED)


@pytest.mark.parametrize("rate", [5.0, 200.0])
@pytest.mark.parametrize("value", [0.8, -0.1])
def test_poisson_noise_has_the_value_as_mean_and_value_by_rate_as_variance(value: float, rate: float) -> None:
    drawn = draw(PoissonNoise(rate), np.full(KERNEL.shape, value))
    error = np.sqrt(abs(value) / rate / drawn.size)
    assert drawn.mean() == pytest.approx(value, abs=4 * error)
    assert drawn.var() == pytest.approx(abs(value) / rate, rel=0.03)
    assert set(np.unique(np.sign(drawn))) <= {0.0, np.sign(value)}
    np.testing.assert_allclose(drawn * rate, np.round(drawn * rate), atol=1e-9)


def test_poisson_noise_leaves_zeros() -> None:
    np.testing.assert_array_equal(draw(PoissonNoise(10), np.zeros((4, 4))), 0)


@pytest.mark.parametrize(
    "perturbation",
    [
        Reinitialize(),
        MatchedNormal(),
        Uniform(),
        Permute(),
        GaussianNoise(1),
        MultiplicativeNoise(1),
        PoissonNoise(9),
    ],
)
def test_the_generator_decides_the_draw_and_the_trained_value_stays(perturbation: Any) -> None:
    before = TRAINED.copy()
    first = draw(perturbation, seed=1)
    np.testing.assert_array_equal(draw(perturbation, seed=1), first)
    assert (draw(perturbation, seed=2) != first).mean() > 0.5
    np.testing.assert_array_equal(TRAINED, before)


def test_running_statistics_are_reset_by_fresh_layers_and_kept_by_the_rest() -> None:
    assert default_statistics(Reinitialize()) == default_statistics(NativeInit()) == "reset"
    for kept in (Permute(), MatchedNormal(), Uniform(), GaussianNoise(1), MultiplicativeNoise(1), PoissonNoise(1)):
        assert default_statistics(kept) == "keep"
    assert default_statistics(lambda value, parameter, rng: value) == "keep"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Reinitialize(0), "factor: expected a finite number above 0"),
        (lambda: Reinitialize(-1.0), "factor"),
        (lambda: Uniform(1, 1), "low < high"),
        (lambda: Uniform(0, float("inf")), "low < high"),
        (lambda: GaussianNoise(-0.1), "std: expected a finite number of at least 0"),
        (lambda: GaussianNoise(float("nan")), "std"),
        (lambda: MultiplicativeNoise("big"), "std"),  # type: ignore[arg-type]
        (lambda: PoissonNoise(0), "rate: expected a finite number above 0"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        make()


def test_ends_of_a_range_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ArgumentError):
        Uniform(None, 1)  # type: ignore[arg-type]


def test_names_stand_for_perturbations() -> None:
    assert resolve_perturbation("permute") == Permute()
    assert resolve_perturbation("uniform") == Uniform(0, 1)
    with pytest.raises(UnknownNameError, match="'reinitialize'"):
        FullRandomization(perturbation="reinitialise")
    for wrong in (Permute, 3, None):
        with pytest.raises(ArgumentError, match="an object such as"):
            FullRandomization(perturbation=wrong)  # type: ignore[arg-type]


def test_large_kernels_are_drawn_by_any_number_of_threads_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    parameter = Parameter("weight", (700, 600), "float32", "kernel", ("in", "out"))
    trained = np.zeros(parameter.shape)
    found = []
    for cores in (1, 2, 7):
        monkeypatch.setattr("os.cpu_count", lambda cores=cores: cores)
        found.append(draw(Reinitialize(), trained, parameter))
    assert all(np.array_equal(found[0], other) for other in found[1:])
    flat = found[0].reshape(-1) / np.sqrt(2 / 700)
    limit = 2 / stats.truncnorm(-2, 2).std()
    assert np.abs(flat).max() <= limit * (1 + 1e-6)
    # 420,000 numbers fill several blocks, of which each must have numbers and a stream of its own.
    assert stats.kstest(flat, stats.truncnorm(-2, 2, scale=1 / stats.truncnorm(-2, 2).std()).cdf).pvalue > 1e-3
    assert len(np.unique(flat)) > 0.97 * flat.size
