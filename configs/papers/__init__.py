"""The tables and figures of papers, as values: one file per paper.

A file `pNNN.py` is paper NNN's; `pNNN_WORD.py` holds further sheets beside it. Its
`PAPER` says by `study` which of `launch.reproduction.papers.STUDIES` repeats it, and
holds what that study's `Paper` is built of; without, it is a paper that pretrains and
finetunes (`launch.reproduction.sheets.Paper`). Numbers under `paper` are those printed
in the paper, never ours.
"""
