"""Runs made visible: one self-contained HTML file (`itp report`), or the same page live (`itp view`).

`sources` finds runs and reads their episodes as they grow, `tally` sums them up, `episodes` turns each into what the
viewer shows, `charts` and `curves` draw, `overview` puts the first page together, `pack` and `build` write the file,
`live` serves it. `viewer/` holds the page's own JavaScript and CSS.
"""
