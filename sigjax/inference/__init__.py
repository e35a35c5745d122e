"""Models out of bundles, ready for use: what `sigjax.load` returns."""
