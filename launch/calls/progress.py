"""Progress bars: over seconds of sound, with calls and speed, and over layers."""

import sys
from types import TracebackType

import tqdm


class SoundBar:
    """Shows what is done and how fast; a context manager, called after each batch."""

    def __init__(self, clips: int, seconds: float, *, shown: bool = True):
        """Takes what there is to do: calls, and seconds of sound in them."""
        self._clips, self._total = clips, seconds
        self._hidden = not shown or not clips

    def __enter__(self) -> "SoundBar":
        """Shows the bar."""
        self._bar = tqdm.tqdm(
            total=self._total or None,
            bar_format="{percentage:3.0f}%|{bar}| {desc} [{elapsed}<{remaining}]",
            mininterval=0.5 if sys.stderr.isatty() else 30.0,
            disable=self._hidden,
        )
        self(0, 0.0)
        return self

    def __call__(self, clips: int, seconds: float) -> None:
        """Takes how many calls, and seconds in them, are done since the start."""
        if self._hidden:
            return
        text = f"{clips:,}/{self._clips:,} calls"
        elapsed = self._bar.format_dict["elapsed"]
        if clips and elapsed:
            text += f", {clips / elapsed:,.1f}/s, {seconds / elapsed:,.1f} x real time"
        self._bar.set_description_str(text, refresh=False)
        self._bar.update(seconds - self._bar.n)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leaves the last state on the screen."""
        if not self._hidden:
            self._bar.refresh()
        self._bar.close()


class LayerBar:
    """Shows layers done of all; a context manager, called from any thread."""

    def __init__(self, name: str, layers: int, *, shown: bool = True):
        """Takes what is done, such as a kind of probe, and of how many layers."""
        self._name, self._layers, self._hidden = name, layers, not shown
        self._before = 0

    def __enter__(self) -> "LayerBar":
        """Shows the bar."""
        self._bar = tqdm.tqdm(
            total=self._layers,
            # The first layer waits for that, which may take longer than the rest.
            desc=f"{self._name} (compiling)",
            unit="layer",
            mininterval=0.5 if sys.stderr.isatty() else 30.0,
            disable=self._hidden,
        )
        return self

    def __call__(self, layers: int) -> None:
        """Takes how many layers are done since the last `add`."""
        self._bar.set_description_str(self._name, refresh=False)
        self._bar.update(self._before + layers - self._bar.n)

    def add(self, layers: int) -> None:
        """Counts layers that are done, whether they were shown one by one or not."""
        self(layers)
        self._before += layers

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leaves the last state on the screen."""
        self._bar.close()
