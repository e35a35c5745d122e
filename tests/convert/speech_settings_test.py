"""What is read of settings, and what is refused: objects of fairseq, and attacks."""

import argparse
import enum
import io
import pickle
import sys
import types
import typing

import pytest

from sigjax.convert import pickles
from sigjax.convert.pickles import Record, WeightsError
from sigjax.convert.speech_names import named
from sigjax.convert.speech_settings import described, normalised_by
from sigjax.convert.tensors import FAIRSEQ, TORCH
from sigjax.models.speech_encoder import SpeechEncoderConfig
from tests.convert.speech_files import (
    SETTINGS,
    as_fairseq,
    as_torchaudio,
    state_of,
)

CONFIG = SpeechEncoderConfig(
    conv_dim=(4, 4, 6),
    conv_kernel=(10, 3, 2),
    conv_stride=(5, 2, 2),
    width=8,
    depth=2,
    heads=2,
    mlp=12,
    pos_taps=4,
    pos_groups=2,
    mask_embedding=True,
)
CONVOLUTIONS = "[(4, 10, 5)] + [(4, 3, 2)] * 1 + [(6,2,2)]"
MODEL = {
    "_name": "hubert",
    "encoder_attention_heads": 2,
    "layer_norm_first": False,
    "conv_feature_layers": CONVOLUTIONS,
}


def of_fairseq(**settings):
    return described(named(as_fairseq(state_of())), settings)


def test_settings_of_transformers():
    assert described(named(state_of()), SETTINGS) == (CONFIG, ())
    changed = SETTINGS | {"layer_norm_eps": 1e-3, "model_type": "wav2vec2"}
    found, _ = described(named(state_of()), changed)
    assert (found.eps, found.kind) == (1e-3, "wav2vec2")
    wavlm = SETTINGS | {"model_type": "wavlm", "num_buckets": 8}
    wavlm |= {"max_bucket_distance": 9}
    found, _ = described(named(state_of("wavlm")), wavlm)
    assert (found.kind, found.buckets, found.max_distance) == ("wavlm", 8, 9)
    with pytest.raises(WeightsError, match="config.json is not beside it"):
        described(named(state_of()), None)


def test_arguments_of_torchaudio():
    arguments = {
        "extractor_mode": "group_norm",
        "extractor_conv_layer_config": [[4, 10, 5], [4, 3, 2], [6, 2, 2]],
        "encoder_num_heads": 2,
        "encoder_layer_norm_first": False,
    }
    found = named(as_torchaudio(state_of()))
    assert described(found, arguments) == (CONFIG, ())
    with pytest.raises(WeightsError, match=r"strides of convolutions of \(10, 3, 2\)"):
        described(found, None)


def test_what_nothing_says_is_as_in_the_base_models_and_told():
    settings = {k: v for k, v in MODEL.items() if k == "conv_feature_layers"}
    found, notes = of_fairseq(cfg=settings)
    assert notes == ("assumed, as nothing says it: 1 heads, norms after attention",)
    assert (found.heads, found.pre_norm, found.kind) == (1, False, "hubert")
    state = as_fairseq(state_of(large=True)) | {
        "quantizer.vars": state_of()["masked_spec_embed"]
    }
    found, _ = described(named(state), {"cfg": settings})
    assert (found.pre_norm, found.conv_norm, found.conv_bias) == (True, "layer", True)
    assert found.kind == "wav2vec2"


@pytest.mark.parametrize(
    "settings",
    [
        {"cfg": {"model": MODEL, "task": {"normalize": True}}},
        {"cfg": {**MODEL, "normalize": True}},  # Microsoft's WavLM
        {"args": Record(arch="hubert", **{**MODEL, "normalize": True})},
        {
            "cfg": {
                "model": {
                    "_name": "wav2vec_ctc",
                    "encoder_attention_heads": 7,
                    "normalize": "${task.normalize}",
                    "w2v_args": {"model": MODEL, "task": {"normalize": True}},
                },
                "task": {"normalize": False},
            }
        },
        {"args": Record(w2v_args=Record(**MODEL), normalize=True, arch="wav2vec_ctc")},
    ],
    ids=["hydra", "flat", "namespace", "fine-tuned", "fine-tuned namespace"],
)
def test_settings_of_fairseq_wherever_they_stand(settings):
    assert of_fairseq(**settings) == (CONFIG, ())
    assert normalised_by(settings) is True


def test_without_a_word_on_normalisation():
    assert normalised_by({"cfg": {"task": {"normalize": "${x}"}}}) is None
    assert normalised_by(None) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "bert"}, "model type 'bert'; these are read: wav2vec2, hub"),
        ({"hidden_act": "relu"}, "hidden_act 'relu' is not supported"),
        ({"feat_extract_activation": ["gelu"]}, "a list is not supported"),
        ({"feat_extract_norm": "batch"}, "feat_extract_norm 'batch' is not known"),
        ({"hidden_size": "8"}, "hidden_size is '8', expected int"),
        ({"hidden_size": True}, "hidden_size is True, expected int"),
        ({"conv_dim": [4, 4.0, 6]}, "conv_dim is a list, expected tuple"),
        ({"do_stable_layer_norm": 1}, "is 1, expected bool"),
        ({"num_hidden_layers": 10**9}, "no encoder has so many blocks"),
        ({"num_attention_heads": 3}, "do not fit together: width 8 .* heads=3"),
        ({"adapter_attn_dim": 16}, "adapters inside the blocks"),
        ({"layer_type": "conformer"}, "blocks of the type 'conformer'"),
    ],
)
def test_settings_that_do_not_fit_are_named(changes, message):
    with pytest.raises(WeightsError, match=message):
        described(named(state_of()), SETTINGS | changes)


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').system('true')",
        "[(4, 10, 5)] * 10 ** 9",
        "[(4, 10, 5)] * 65",
        "[(4, 10)]",
        "[(4, 10, 5.0)]",
        "[(4, 10, 5)] + 3",
        "(" * 3000,
        "",
        [],
        3,
        [[4, 10, 5]] * 65,
    ],
)
def test_expressions_of_convolutions_are_not_run(expression):
    with pytest.raises(WeightsError, match="expected .channels, taps, stride. of each"):
        of_fairseq(cfg=MODEL | {"conv_feature_layers": expression})


# ------------------------------------------------- fairseq's objects, and hostile ones


@pytest.fixture
def foreign(monkeypatch):
    """Makes a class of a package that is not installed; `forget` removes them all."""

    def make(module, name, base=object, **members):
        parts = module.split(".")
        for i in range(len(parts)):
            package = ".".join(parts[: i + 1])
            if package not in sys.modules:
                made = types.ModuleType(package)
                monkeypatch.setitem(sys.modules, package, made)
        if base is enum.Enum:
            kind = enum.Enum(name, members, module=module, qualname=name)
        else:
            kind = type(name, (base,), {"__module__": module, **members})
        setattr(sys.modules[module], name, kind)
        return kind

    return make


def read(value, known, monkeypatch, protocol=2):
    data = pickle.dumps(value, protocol=protocol)
    monkeypatch.undo()  # the packages are gone
    return pickles.resolve(pickles.load(io.BytesIO(data), known))


@pytest.mark.parametrize("protocol", [2, 4])
def test_objects_of_fairseq_and_omegaconf_are_read_without_them(
    foreign, monkeypatch, protocol
):
    group = foreign("omegaconf.dictconfig", "DictConfig")
    node = foreign("omegaconf.nodes", "AnyNode")
    metadata = foreign("omegaconf.base", "ContainerMetadata")
    mode = foreign(
        "fairseq.dataclass.constants", "Choice", enum.Enum, default="default"
    )

    def wrapped(value, parent=None):
        made = group() if isinstance(value, dict) else node()
        made._parent = parent
        made._metadata = metadata()
        optional = typing.Optional[int]  # noqa: UP045
        made._metadata.ref_type = [type(None), str, int, float | None, optional]
        if isinstance(value, dict):
            made._content = {k: wrapped(v, made) for k, v in value.items()}
        else:
            made._val = value
        return made

    model = MODEL | {"extractor_mode": mode.default, "conv_bias": False}
    cfg = wrapped({"model": model, "task": {"normalize": True}})
    found = read({"cfg": cfg}, FAIRSEQ, monkeypatch, protocol)
    assert "omegaconf" not in sys.modules
    assert of_fairseq(**found) == (CONFIG, ())
    assert normalised_by(found) is True


def test_other_readers_refuse_them(foreign, monkeypatch):
    made = foreign("fairseq.data.dictionary", "Dictionary")()
    with pytest.raises(WeightsError, match="names fairseq.data.dictionary.Dictionary"):
        read(made, TORCH, monkeypatch)


def test_names_that_only_begin_like_them_are_refused(foreign, monkeypatch):
    made = foreign("fairseqs.data", "Dictionary")()
    with pytest.raises(WeightsError, match="names fairseqs.data.Dictionary"):
        read(made, FAIRSEQ, monkeypatch)


class Call:
    """Pickles as a call of anything with any arguments."""

    def __init__(self, function, *arguments):
        self.parts = (function, arguments)

    def __reduce__(self):
        return self.parts


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("name", ["os.system", "eval", "getattr", "state", "argument"])
def test_hostile_settings_are_refused_and_execute_nothing(
    name, protocol, foreign, monkeypatch, tmp_path
):
    marker = tmp_path / "executed"
    system = Call(__import__("os").system, f"touch {marker}")
    made = foreign("omegaconf.nodes", "AnyNode")
    held = made() if protocol > 1 else argparse.Namespace()
    held._val = system
    attack = {
        "os.system": system,
        "eval": Call(eval, f"open({str(marker)!r}, 'w')"),
        "getattr": Call(getattr, Call(__import__, "os"), "system"),
        "state": held,
        "argument": Call(made, system),
    }[name]
    with pytest.raises(WeightsError, match=r"names [\w.]+, .* nothing was executed"):
        read({"cfg": {"model": attack}}, FAIRSEQ, monkeypatch, protocol)
    assert not marker.exists()


def test_methods_and_types_are_inert(foreign, monkeypatch):
    # What a pickle may name of fairseq and of types makes records, and calls nothing.
    made = foreign("fairseq.tasks", "system")
    tree = [Call(made, "rm"), Call(type, "X", (), {}), float | None]
    found = read(tree, FAIRSEQ, monkeypatch)
    assert found[0] == {"arguments": ("rm",)}
    assert found[1] == {"arguments": ("X", (), {})}
    assert all(type(value) is Record for value in found)


def test_shared_structures_end_at_once():
    # (x, x) of (x, x) of ...: shown by its kind alone.
    deep = ()
    for _ in range(64):
        deep = (deep, deep)
    with pytest.raises(WeightsError, match="extractor_mode a tuple is not known"):
        of_fairseq(cfg=MODEL | {"extractor_mode": deep})
