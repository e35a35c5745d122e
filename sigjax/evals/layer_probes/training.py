"""Many probes trained by one program.

A probe is a layer, a fold and a seed. `vmap` makes one network of a block of probes; a
loop inside the program goes from block to block, so that memory stays bounded and, on
CPU, a block's weights stay in cache. Steps are a scan, epochs a loop that ends when the
last probe of its block has stopped; one that stopped before is left as it is.

Everything random is made before: initial weights and the order of clips are inputs. So
a probe does not depend on which others it is trained with.
"""

import functools
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax

from sigjax.evals.layer_probes.protocol import ProbeProtocol
from sigjax.models.probe import Probe, ProbeConfig
from sigjax.typing import Array

# Of torch.optim.lr_scheduler.ReduceLROnPlateau: an improvement is relative, and a
# learning rate that would change by less stays.
_THRESHOLD, _LEAST_CHANGE = 1e-4, 1e-8
# Rows of an evaluation at once.
_EVALUATED = 1024


class Data(NamedTuple):
    """Features and labels.

    Attributes:
      values: Float32 `[l, n, w]`.
      mean: Float32 `[f, l, w]`, of each fold's training rows.
      scale: Float32 `[f, l, w]`, what deviations are divided by.
      label: Int32 `[n]`.
    """

    values: Array
    mean: Array
    scale: Array
    label: Array


class Rows(NamedTuple):
    """Who is in which split; -1 is nobody.

    Attributes:
      order: Int32 `[f, s, e, k, b]`: of each fold and seed, the rows of each epoch's
        `k` steps.
      validation: Int32 `[f, m]`.
      test: Int32 `[f, q]`.
    """

    order: Array
    validation: Array
    test: Array


class Index(NamedTuple):
    """Of a probe, or int32 `[p]` of many: which layer, fold and seed."""

    layer: Array
    fold: Array
    seed: Array


class Fitted(NamedTuple):
    """What came of `p` probes.

    Attributes:
      train_loss: Float32 `[p, e]`, mean cross-entropy of each epoch's steps; NaN for
        epochs that a probe did not run.
      validation_loss: Float32 `[p, e]`.
      validation_uar: Float32 `[p, e]`.
      learning_rate: Float32 `[p, e]`, in the epoch.
      epochs: Int32 `[p]`, how many ran.
      best_epoch: Int32 `[p]`, from 0: the first with the highest validation UAR.
      probability: Float32 `[p, q, v]` of the test rows, by the best epoch's weights.
      params: Those weights, each `[p, ...]`; None unless they were asked for.
    """

    train_loss: Array
    validation_loss: Array
    validation_uar: Array
    learning_rate: Array
    epochs: Array
    best_epoch: Array
    probability: Array
    params: Any


class _State(NamedTuple):
    params: Any
    adam: Any
    learning_rate: Array
    lowest_loss: Array
    epochs_on_plateau: Array
    best_uar: Array
    best_epoch: Array
    best_params: Any
    epoch: Array
    history: dict[str, Array]


@functools.partial(
    jax.jit,
    static_argnames=("network", "protocol", "block", "uneven", "keep_params"),
)
def fit(
    data: Data,
    rows: Rows,
    initial: Any,
    index: Index,
    *,
    network: ProbeConfig,
    protocol: ProbeProtocol,
    block: int,
    uneven: bool = False,
    keep_params: bool = False,
) -> Fitted:
    """Trains probes and applies them to the test rows.

    Args:
      data: Features. A probe with `network.layers` is given all layers.
      rows: Splits.
      initial: Parameters of each seed, `[s, ...]` each.
      index: `[p]` probes; `p` is a multiple of `block`.
      network: The probe.
      protocol: How it is trained.
      block: Probes at once.
      uneven: Whether there are steps without clips, as folds with fewer clips than
        others have them.
      keep_params: Whether the weights are returned.
    """

    def one(index: Index) -> Fitted:
        fitted = _fit_one(data, rows, initial, index, network, protocol, uneven)
        return fitted if keep_params else fitted._replace(params=None)

    return jax.lax.map(one, index, batch_size=block)


def _fit_one(data, rows, initial, index, network, protocol, uneven) -> Fitted:
    module = Probe(network)
    optimizer = optax.scale_by_adam()
    features = functools.partial(_features, data, index, bool(network.layers))

    def loss_of(params, x, label, real):
        logits = cast(Array, module.apply({"params": params}, x))
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, label)
        return jnp.sum(loss * real) / jnp.maximum(real.sum(), 1), logits

    def step(carry, of_step):
        params, adam, learning_rate = carry
        real = (of_step >= 0).astype(jnp.float32)
        x, label = features(of_step)
        (loss, _), grad = jax.value_and_grad(loss_of, has_aux=True)(
            params, x, label, real
        )
        update, new = optimizer.update(grad, adam)
        params_new = jax.tree.map(lambda p, u: p - learning_rate * u, params, update)
        return (params_new, new, learning_rate), loss * real.sum()

    def guarded(carry, of_step):
        # A step without clips must not move Adam.
        return jax.lax.cond(
            (of_step >= 0).any(), step, lambda c, _: (c, jnp.float32(0)), carry, of_step
        )

    def epoch(state: _State) -> _State:
        now = rows.order[index.fold, index.seed, state.epoch]
        carry = (state.params, state.adam, state.learning_rate)
        carry, losses = jax.lax.scan(guarded if uneven else step, carry, now)
        train_loss = losses.sum() / (now >= 0).sum()
        loss, uar = _validate(
            functools.partial(loss_of, carry[0]), features, rows, index, network
        )
        return _after_epoch(state, carry, protocol, (train_loss, loss, uar))

    def running(state: _State) -> Array:
        waited = state.epoch - 1 - state.best_epoch
        return (state.epoch < protocol.epochs) & (waited < protocol.patience)

    first = jax.tree.map(lambda leaf: leaf[index.seed], initial)
    state = jax.lax.while_loop(running, epoch, _begin(first, optimizer, protocol))
    test = rows.test[index.fold]
    logits = _in_parts(
        lambda part: module.apply({"params": state.best_params}, features(part)[0]),
        test,
    )
    return Fitted(
        **state.history,
        epochs=state.epoch,
        best_epoch=state.best_epoch,
        probability=jax.nn.softmax(logits),
        params=state.best_params,
    )


def _features(data: Data, index: Index, all_layers: bool, rows: Array):
    """Standardised `[b, w]` (`[b, l, w]` of all layers) and labels `[b]` of rows."""
    rows = jnp.maximum(rows, 0)
    mean, scale = data.mean[index.fold], data.scale[index.fold]
    if all_layers:
        x = jnp.moveaxis(data.values[:, rows], 0, 1)
    else:
        x = data.values.at[index.layer, rows].get(mode="promise_in_bounds")
        mean, scale = mean[index.layer], scale[index.layer]
    return (x - mean) / scale, data.label[rows]


def _begin(params, optimizer, protocol: ProbeProtocol) -> _State:
    nothing = jnp.full(protocol.epochs, jnp.nan, jnp.float32)
    names = ("train_loss", "validation_loss", "validation_uar", "learning_rate")
    return _State(
        params=params,
        adam=optimizer.init(params),
        learning_rate=jnp.float32(protocol.learning_rate),
        lowest_loss=jnp.float32(jnp.inf),
        epochs_on_plateau=jnp.int32(0),
        best_uar=jnp.float32(-1),
        best_epoch=jnp.int32(-1),
        best_params=params,
        epoch=jnp.int32(0),
        history=dict.fromkeys(names, nothing),
    )


def _after_epoch(state: _State, carry, protocol: ProbeProtocol, measured) -> _State:
    """Keeps the best weights, and lowers the learning rate on a plateau."""
    params, adam, rate = carry
    train_loss, loss, uar = measured
    better = uar > state.best_uar
    lower = loss < state.lowest_loss * (1 - _THRESHOLD)
    plateau = jnp.where(lower, 0, state.epochs_on_plateau + 1)
    over = plateau > protocol.plateau_patience
    reduced = rate * protocol.plateau_factor
    change = over & (rate - reduced > _LEAST_CHANGE)
    seen = {
        "train_loss": train_loss,
        "validation_loss": loss,
        "validation_uar": uar,
        "learning_rate": rate,
    }
    return _State(
        params=params,
        adam=adam,
        learning_rate=jnp.where(change, reduced, rate),
        lowest_loss=jnp.where(lower, loss, state.lowest_loss),
        epochs_on_plateau=jnp.where(over, 0, plateau),
        best_uar=jnp.where(better, uar, state.best_uar),
        best_epoch=jnp.where(better, state.epoch, state.best_epoch),
        best_params=jax.tree.map(
            lambda new, old: jnp.where(better, new, old), params, state.best_params
        ),
        epoch=state.epoch + 1,
        history={
            name: state.history[name].at[state.epoch].set(value)
            for name, value in seen.items()
        },
    )


def _validate(loss_of, features, rows: Rows, index: Index, network: ProbeConfig):
    """Mean loss and UAR of the validation rows."""

    def part(some):
        real = (some >= 0).astype(jnp.float32)
        x, label = features(some)
        loss, logits = loss_of(x, label, real)
        of_class = jax.nn.one_hot(label, network.classes) * real[:, None]
        right = (logits.argmax(axis=-1) == label).astype(jnp.float32)
        return loss * real.sum(), right @ of_class, of_class.sum(axis=0)

    parts = jax.lax.map(part, _parts(rows.validation[index.fold]))
    loss, right, support = (x.sum(axis=0) for x in parts)
    recall = right / jnp.maximum(support, 1)
    return loss / support.sum(), recall.sum() / (support > 0).sum()


def _parts(rows: Array) -> Array:
    """`[m]` to `[k, at most _EVALUATED]`, the rest filled with -1."""
    count = -(-len(rows) // _EVALUATED)
    size = -(-len(rows) // count)
    rows = jnp.pad(rows, (0, count * size - len(rows)), constant_values=-1)
    return rows.reshape(count, size)


def _in_parts(function, rows: Array) -> Array:
    """`function` of rows `[b]` to `[b, v]`, for any number of rows."""
    found = jax.lax.map(function, _parts(rows))
    return found.reshape(-1, found.shape[-1])[: len(rows)]
