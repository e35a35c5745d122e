"""The tables and figures of papers, as values: one file per paper.

`PAPER` is what `launch.reproduction.sheets.Paper` is built of. A file `pNNN.py` is
paper NNN's; `pNNN_WORD.py` holds further sheets beside it. Numbers under `paper` are
those printed in the paper, never ours.
"""
