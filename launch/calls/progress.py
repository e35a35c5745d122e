"""A progress bar over seconds of sound: calls, calls per second, times real time."""

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
