"""Reads pickles without running them: opcodes are interpreted over inert values.

Python's own unpickler calls whatever a file names, so a downloaded checkpoint can run
any program. Here a name in a file stays a name (`Global`). Building an object looks the
name up in a table of our constructors, which make dicts, tuples, numpy arrays and the
placeholders below; a name outside the table is an error that says so. Nothing is ever
imported, and no method of a value is called on the file's behalf.

The opcodes are taken apart by `pickletools`, of the standard library.
"""

import pickletools
from collections.abc import Callable, Iterable, Mapping
from typing import IO, Any


class WeightsError(ValueError):
    """Weights cannot be read or do not fit; says which file or key, and why."""


class Global:
    """A name that a pickle refers to, such as `torch.FloatStorage`; inert."""

    def __init__(self, name: str):
        """Keeps the name."""
        self.name = name

    def __repr__(self) -> str:
        """The name."""
        return f"<{self.name}>"


class Record(dict):
    """Attributes of an object whose class is not needed, such as a Namespace."""


class Deferred:
    """Stands for a value until `resolve`; subclasses hold tensors, say."""

    def value(self) -> Any:
        """The value itself."""
        raise NotImplementedError

    def build(self, state: Any) -> None:
        """Takes the state that the pickle sets, where it sets one."""
        del state
        raise WeightsError(f"the file sets attributes of a {type(self).__name__}")


Constructor = Callable[..., Any]
Persistent = Callable[[Any], Any]

_MARK = object()
_KEY_TYPES = (str, int, float, bytes, Global)
_PUSH = frozenset(
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING"
    " SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES"
    " SHORT_BINBYTES BINBYTES8 BYTEARRAY8".split()
)
_NEW: Mapping[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
    "MARK": lambda: _MARK,
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def load(
    file: IO[bytes],
    constructors: Mapping[str, Constructor | None],
    persistent: Persistent | None = None,
) -> Any:
    """Reads one pickle; the file then stands behind it.

    Args:
      file: Binary, readable.
      constructors: What may be named. A function gets the arguments that the pickle
        gives; None allows the name as a value only.
      persistent: Turns a persistent id into a value.

    Returns:
      Dicts, lists, tuples, sets, numbers, text, `Global`, `Record` and `Deferred`.

    Raises:
      WeightsError: If the pickle names anything else, or is damaged.
    """
    machine = _Machine(constructors, persistent)
    try:
        return machine.run(file)
    except WeightsError:
        raise
    except Exception as error:  # whatever a damaged or hostile pickle runs into
        raise WeightsError(
            f"damaged pickle: {type(error).__name__}: {str(error)[:200]}"
        ) from None


def resolve(tree: Any) -> Any:
    """The same structure with every `Deferred` replaced by its value."""
    try:
        return _resolve(tree, {})
    except RecursionError:
        raise WeightsError("damaged pickle: nested too deeply") from None


def _resolve(node: Any, done: dict[int, Any]) -> Any:
    if id(node) in done:
        return done[id(node)]
    if isinstance(node, Deferred):
        done[id(node)] = node.value()
    elif isinstance(node, dict):
        done[id(node)] = found = type(node)()
        # Filled after it is known, so that a structure may contain itself.
        found.update({_resolve(k, done): _resolve(v, done) for k, v in node.items()})
    elif isinstance(node, list):
        done[id(node)] = found = []
        found.extend(_resolve(each, done) for each in node)
    elif isinstance(node, tuple):
        done[id(node)] = tuple(_resolve(each, done) for each in node)
    else:
        return node
    return done[id(node)]


class _Machine:
    """The pickle machine: a stack, a memo, and no imports."""

    def __init__(
        self,
        constructors: Mapping[str, Constructor | None],
        persistent: Persistent | None,
    ):
        self.constructors, self.persistent = constructors, persistent
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, file: IO[bytes]) -> Any:
        for opcode, argument, _ in pickletools.genops(file):
            name = opcode.name
            if name == "STOP":
                return self.stack.pop()
            if name in _PUSH:
                self.stack.append(argument)
            elif name in _NEW:
                self.stack.append(_NEW[name]())
            elif name in _TUPLES:
                self.stack.append(tuple(self.take(_TUPLES[name])))
            else:
                step = _STEPS.get(name)
                if step is None:
                    raise WeightsError(f"pickle opcode {name} is not supported")
                step(self, argument)
        raise WeightsError("damaged pickle: it has no end")

    def take(self, count: int) -> list[Any]:
        """Pops `count` values."""
        if len(self.stack) < count:
            raise WeightsError("damaged pickle: a value is missing")
        found = self.stack[-count:]
        del self.stack[-count:]
        return found

    def since_mark(self) -> list[Any]:
        """Pops all down to the last mark, and the mark."""
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:  # IndexError below the bottom
            at -= 1
            if at < 0:
                raise WeightsError("damaged pickle: a mark is missing")
        found = self.stack[at + 1 :]
        del self.stack[at:]
        return found

    def name(self, name: str) -> None:
        """Pushes a name, if it is one that we know."""
        if name not in self.constructors:
            raise WeightsError(
                f"the file names {name}, which is not among what weights need, so it"
                " is refused; nothing was executed. If you trust the file, save its"
                " state dict alone with torch: torch.save(model.state_dict(), FILE)"
            )
        self.stack.append(Global(name))

    def construct(self, callee: Any, arguments: Any) -> None:
        """Pushes what a constructor of ours makes of the arguments."""
        build = None
        if isinstance(callee, Global) and isinstance(arguments, tuple):
            build = self.constructors[callee.name]
        if build is None:
            raise WeightsError(f"the file calls {_show(callee)}, which is refused")
        self.stack.append(build(*arguments))

    # One method per group of opcodes; `argument` is what pickletools decoded.

    def pop(self, argument) -> None:
        del argument
        self.stack.pop()

    def pop_mark(self, argument) -> None:
        del argument
        self.since_mark()

    def dup(self, argument) -> None:
        del argument
        self.stack.append(self.stack[-1])

    def put(self, argument) -> None:
        self.memo[int(argument)] = self.stack[-1]

    def memoize(self, argument) -> None:
        del argument
        self.memo[len(self.memo)] = self.stack[-1]

    def get(self, argument) -> None:
        self.stack.append(self.memo[int(argument)])

    def tuple(self, argument) -> None:
        del argument
        self.stack.append(tuple(self.since_mark()))

    def list(self, argument) -> None:
        del argument
        self.stack.append(list(self.since_mark()))

    def dict(self, argument) -> None:
        del argument
        self.stack.append(_pairs(self.since_mark()))

    def frozenset(self, argument) -> None:
        del argument
        self.stack.append(frozenset(keys(self.since_mark())))

    def append(self, argument) -> None:
        del argument
        (value,) = self.take(1)
        self._top(list).append(value)

    def appends(self, argument) -> None:
        del argument
        values = self.since_mark()
        self._top(list).extend(values)

    def additems(self, argument) -> None:
        del argument
        values = self.since_mark()
        self._top(set).update(keys(values))

    def setitem(self, argument) -> None:
        del argument
        pair = self.take(2)
        self._top(dict).update(_pairs(pair))

    def setitems(self, argument) -> None:
        del argument
        values = self.since_mark()
        self._top(dict).update(_pairs(values))

    def _top(self, kind: type) -> Any:
        # Exactly these: a Record is filled by BUILD alone.
        if type(self.stack[-1]) is not kind:
            raise WeightsError(f"damaged pickle: items for no {kind.__name__}")
        return self.stack[-1]

    def global_(self, argument) -> None:
        self.name(str(argument).replace(" ", ".", 1))

    def stack_global(self, argument) -> None:
        del argument
        module, name = self.take(2)
        if not (isinstance(module, str) and isinstance(name, str)):
            raise WeightsError("damaged pickle: a name is no text")
        self.name(f"{module}.{name}")

    def reduce(self, argument) -> None:
        del argument
        self.construct(*self.take(2))

    def persid(self, argument) -> None:
        del argument
        (pid,) = self.take(1)
        if self.persistent is None:
            raise WeightsError("damaged pickle: it refers to data outside of it")
        self.stack.append(self.persistent(pid))

    def build(self, argument) -> None:
        del argument
        (state,) = self.take(1)
        target = self.stack[-1]
        if isinstance(target, Record):
            target.update(_attributes(state))
        elif isinstance(target, Deferred):
            target.build(state)
        elif type(target) is not dict:  # an OrderedDict's attributes are not needed
            raise WeightsError(
                f"the file sets attributes of {_show(target)}, which is refused"
            )


_STEPS: Mapping[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda machine, argument: None,
    "FRAME": lambda machine, argument: None,
    "POP": _Machine.pop,
    "POP_MARK": _Machine.pop_mark,
    "DUP": _Machine.dup,
    "PUT": _Machine.put,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.memoize,
    "GET": _Machine.get,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "TUPLE": _Machine.tuple,
    "LIST": _Machine.list,
    "DICT": _Machine.dict,
    "FROZENSET": _Machine.frozenset,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "ADDITEMS": _Machine.additems,
    "SETITEM": _Machine.setitem,
    "SETITEMS": _Machine.setitems,
    "GLOBAL": _Machine.global_,
    "STACK_GLOBAL": _Machine.stack_global,
    "REDUCE": _Machine.reduce,
    "NEWOBJ": _Machine.reduce,
    "BINPERSID": _Machine.persid,
    "BUILD": _Machine.build,
}


def keys(values: Iterable[Any]) -> list[Any]:
    """The values, if each may be a key: to hash a nested tuple can take forever."""
    found = list(values)
    for value in found:
        parts = value if isinstance(value, tuple) else (value,)
        if not all(p is None or isinstance(p, _KEY_TYPES) for p in parts):
            raise WeightsError(f"a {_show(value)} as a key is not supported")
    return found


def _pairs(values: list[Any]) -> dict[Any, Any]:
    if len(values) % 2:
        raise WeightsError("damaged pickle: a key without a value")
    return dict(zip(keys(values[::2]), values[1::2], strict=True))


def _show(value: Any) -> str:
    # Not repr: that of nested shared lists is endless.
    return value.name if isinstance(value, Global) else type(value).__name__


def _attributes(state: Any) -> dict[str, Any]:
    if isinstance(state, tuple) and len(state) == 2:  # (__dict__, slots)
        return {k: v for part in state if part for k, v in _attributes(part).items()}
    if not isinstance(state, dict) or not all(isinstance(k, str) for k in state):
        raise WeightsError("damaged pickle: attributes without names")
    return state
