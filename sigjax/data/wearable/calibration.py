"""Autocalibration: whatever rests measures one g.

Windows in which the wrist (or the table) was still lie on a sphere of radius 1 g if
gain and offset of each axis are right. The fit moves them there by iterated weighted
regression on the closest point of the sphere (van Hees et al. 2014, J Appl Physiol
117:738). Two published variants differ in what counts as enough data, in weights and
in when to stop: `"van_hees"`, of the paper and the R package GGIR, and `"actipy"`.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from sigjax.data.compiled import compiled

# Of both variants: each axis must reach past +-0.3 g, and the mean distance from the
# sphere must end below 10 mg.
CUBE_G = 0.3
MAX_ERROR_G = 0.01
_MAX_ITERATIONS = 1000

# van Hees: the first week decides; 12 h at a time are added while it does not.
_FIRST_H = 168.0
_MORE_H = 12.0
_MAX_MEAN_G = 2.0
_MAX_WEIGHT = 100.0
# On the weighted mean square distance: (0.01 mg)^2.
_RESIDUAL_TOLERANCE = 1e-10
# Two windows at rest in one position say nothing that one does not; filtering leaves
# 1e-7 g of rounding between them.
_SAME_G = 1e-6
# A device that sleeps repeats its last sample: no such window has noise.
_CONSTANT_SD_G = 1e-6

METHODS = ("van_hees", "actipy", "none")


@compiled
def _affine(x, gain, offset, per_degree, celsius, out):
    for i in range(len(x)):
        for axis in range(3):
            value = gain[axis] * x[i, axis] + offset[axis]
            if celsius is not None:
                value += per_degree[axis] * celsius[i]
            out[i, axis] = value


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    """`calibrated = gain * x + offset + temp_coeff * temperature_c`, per axis.

    Where `ok` is false the three arrays say "unchanged": 1, 0 and 0.

    Attributes:
      gain: Float64 `[3]`.
      offset: Float64 `[3]` in g.
      temp_coeff: Float64 `[3]` in g per degree C; zero without temperature.
      error_before_g: Mean distance of the points from the unit sphere (NaN where
        there are no points).
      error_after_g: The same once calibrated; the best that was reached where the
        fit failed.
      n_points: Stationary windows that were used.
      iterations: Of the regression.
      ok: Whether the recording counts as calibrated.
      reason: In words, why or why not.
    """

    gain: np.ndarray
    offset: np.ndarray
    temp_coeff: np.ndarray
    error_before_g: float
    error_after_g: float
    n_points: int
    iterations: int
    ok: bool
    reason: str

    def apply(
        self,
        acceleration: np.ndarray,
        temperature_c: np.ndarray | None,
        *,
        out: np.ndarray | None = None,
    ) -> np.ndarray:
        """Calibrates float `[s, 3]`, given temperature `[s]` or None.

        `out` receives the result, which is also returned; it may be `acceleration`.
        """
        out = np.empty_like(acceleration) if out is None else out
        _affine(
            acceleration, self.gain, self.offset, self.temp_coeff, temperature_c, out
        )
        return out


@dataclasses.dataclass(frozen=True, eq=False)
class _Points:
    """Stationary means, and the affine map found so far."""

    mean: np.ndarray
    temperature: np.ndarray | None
    gain: np.ndarray = dataclasses.field(default_factory=lambda: np.ones(3))
    offset: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(3))
    temp_coeff: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(3))

    def first(self, count: int) -> "_Points":
        some = self.temperature[:count] if self.temperature is not None else None
        return _Points(self.mean[:count], some)

    @property
    def current(self) -> np.ndarray:
        out = self.gain * self.mean + self.offset
        if self.temperature is not None:
            out = out + self.temperature[:, None] * self.temp_coeff
        return out

    def step(self, weights: np.ndarray) -> "_Points":
        """One weighted regression of the sphere's closest points on the current."""
        current = self.current
        target = current / np.linalg.norm(current, axis=1, keepdims=True)
        constant, slope, per_degree = _regress(
            target, current, self.temperature, weights / weights.sum()
        )
        return dataclasses.replace(
            self,
            gain=self.gain * slope,
            offset=self.offset * slope + constant,
            temp_coeff=self.temp_coeff * slope + per_degree,
        )

    def result(self, before: float, iterations: int, ok: bool, reason: str):
        unit = _Points(self.mean, None) if not ok else self
        return Calibration(
            gain=unit.gain,
            offset=unit.offset,
            temp_coeff=unit.temp_coeff,
            error_before_g=before,
            error_after_g=_error(self.current) if len(self.mean) else float("nan"),
            n_points=len(self.mean),
            iterations=iterations,
            ok=ok,
            reason=reason,
        )


def _regress(
    target: np.ndarray,
    x: np.ndarray,
    temperature: np.ndarray | None,
    weights: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weighted least squares of `target` on 1, `x` (and temperature), per axis."""
    regressors = x[:, :, None]
    if temperature is not None:
        extra = np.broadcast_to(temperature[:, None, None], regressors.shape)
        regressors = np.concatenate([regressors, extra], axis=2)
    centre = np.einsum("p,pcr->cr", weights, regressors)
    target_centre = weights @ target
    regressors = regressors - centre
    gram = np.einsum("p,pcr,pcq->crq", weights, regressors, regressors)
    cross = np.einsum("p,pcr,pc->cr", weights, regressors, target - target_centre)
    # Pseudo-inverse: a temperature that never changes gets coefficient 0.
    slopes = np.einsum("crq,cq->cr", np.linalg.pinv(gram, hermitian=True), cross)
    constant = target_centre - (slopes * centre).sum(axis=1)
    per_degree = slopes[:, 1] if temperature is not None else np.zeros(3)
    return constant, slopes[:, 0], per_degree


def _distances(current: np.ndarray) -> np.ndarray:
    return np.abs(np.linalg.norm(current, axis=1) - 1)


def _error(current: np.ndarray) -> float:
    return float(_distances(current).mean())


def _missing(mean: np.ndarray, min_points: int) -> str:
    """Why these points cannot be fitted, or ""."""
    if len(mean) < min_points:
        return f"{len(mean)} stationary windows, {min_points} needed"
    for axis, values in zip("xyz", mean.T, strict=True):
        if values.max() < CUBE_G or values.min() > -CUBE_G:
            return (
                f"stationary windows span {values.min():.2f} to {values.max():.2f} g "
                f"on {axis}, past -{CUBE_G} and {CUBE_G} g needed"
            )
    return ""


def _fit_van_hees(points: _Points) -> Calibration:
    before = _error(points.current)
    weights = np.ones(len(points.mean))
    residual, iteration = np.inf, 0
    first = points
    while iteration < _MAX_ITERATIONS:
        iteration += 1
        points = points.step(weights)
        distance = _distances(points.current)
        previous = residual
        residual = float((weights * distance**2).sum() / weights.sum())
        weights = np.minimum(1 / np.maximum(distance, 1e-12), _MAX_WEIGHT)
        if abs(residual - previous) < _RESIDUAL_TOLERANCE:
            break
    after = _error(points.current)
    if after >= before and before < MAX_ERROR_G:
        return first.result(before, iteration, True, "already calibrated: unchanged")
    if after >= before:
        return points.result(before, iteration, False, "the fit does not reduce error")
    if after >= MAX_ERROR_G:
        reason = f"error {1e3 * after:.1f} mg after the fit, below 10 mg needed"
        return points.result(before, iteration, False, reason)
    return points.result(before, iteration, True, "calibrated")


def _fit_actipy(points: _Points) -> Calibration:
    before = _error(points.current)
    if before < MAX_ERROR_G:
        return points.result(before, 0, True, "already calibrated: unchanged")
    best, best_error, error = points, before, before
    converged, iteration = False, 0
    while iteration < _MAX_ITERATIONS and not converged:
        iteration += 1
        distance = _distances(points.current)
        weights = np.maximum(1 - distance / np.quantile(distance, 0.995), 0)
        points = points.step(weights)
        previous, error = error, _error(points.current)
        if error < best_error:
            best, best_error = points, error
        converged = (previous - error) / previous < 1e-4
    if not converged:
        reason = f"no convergence in {_MAX_ITERATIONS} iterations"
        return best.result(before, iteration, False, reason)
    if best_error >= MAX_ERROR_G:
        reason = f"error {1e3 * best_error:.1f} mg after the fit, below 10 mg needed"
        return best.result(before, iteration, False, reason)
    return best.result(before, iteration, True, "calibrated")


def _attempt(
    points: _Points, min_points: int, fit: Callable[[_Points], Calibration]
) -> Calibration:
    missing = _missing(points.mean, min_points)
    if not missing:
        return fit(points)
    before = _error(points.mean) if len(points.mean) else float("nan")
    return points.result(before, 0, False, missing)


def calibrate(
    mean: np.ndarray,
    sd: np.ndarray,
    time: np.ndarray,
    temperature_c: np.ndarray | None,
    *,
    method: str,
    stationary_sd_g: float,
    min_points: int,
    skip_constant: bool,
) -> Calibration:
    """Finds gain and offset from the stationary ones of a recording's windows.

    Both variants accept a recording that is within 10 mg already and cannot be
    improved: files that were calibrated before they were shared are no failures.

    Args:
      mean: Float `[w, 3]` in g, of windows that do not overlap, in time order.
      sd: Float `[w, 3]` in g.
      time: Float `[w]` in seconds.
      temperature_c: Float `[w]` to fit a temperature coefficient too, or None.
      method: `"van_hees"`, `"actipy"` or `"none"`.
      stationary_sd_g: A window is stationary if sd is below this on all axes.
      min_points: Stationary windows needed.
      skip_constant: Leave out windows without any noise, which some devices write
        while they sleep. Not for loggers whose resolution is coarser than their
        noise (a packed AX3 file has 15.6 mg): there, rest is constant.

    Returns:
      The calibration, with reasons where it failed.
    """
    if method not in METHODS:
        raise ValueError(f"calibration={method!r} is not one of {METHODS}")
    keep = (sd < stationary_sd_g).all(axis=1) & (np.linalg.norm(mean, axis=1) > 1e-8)
    if skip_constant:
        keep &= (sd > _CONSTANT_SD_G).any(axis=1)
    if method == "van_hees":
        keep &= (np.abs(mean) < _MAX_MEAN_G).all(axis=1)
    rows = np.flatnonzero(keep)
    if method == "van_hees" and len(rows):
        changes = np.abs(np.diff(mean[rows], axis=0)).max(axis=1) > _SAME_G
        rows = rows[np.concatenate([[True], changes])]
    points = _Points(
        mean[rows], temperature_c[rows] if temperature_c is not None else None
    )
    if method == "none":
        error = _error(points.mean) if len(rows) else float("nan")
        return points.result(error, 0, True, "not asked for")
    if method == "actipy":
        return _attempt(points, min_points, _fit_actipy)
    elapsed_h = (time[rows] - time[:1]) / 3600
    return _attempt_on_more_and_more(points, elapsed_h, min_points)


def _attempt_on_more_and_more(
    points: _Points, elapsed_h: np.ndarray, min_points: int
) -> Calibration:
    """The van Hees fit to the first week, then to 12 h more each time it fails."""
    hours = _FIRST_H
    while True:
        count = int((elapsed_h <= hours).sum())
        result = _attempt(points.first(count), min_points, _fit_van_hees)
        if result.ok or count == len(elapsed_h):
            return result
        hours += _MORE_H
