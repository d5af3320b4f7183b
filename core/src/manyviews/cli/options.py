"""Options that several commands have."""

from __future__ import annotations

import click

device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda", "mps"]),
    default="auto",
    show_default=True,
    help="Where the encoder works; auto: on an accelerator where there is one.",
)

engine_option = click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Who does the work: this process, or a Ray cluster (RAY_ADDRESS; else one on this machine).",
)

best_option = click.option(
    "--best", is_flag=True, help="The checkpoint that was best by the recipe's `train.best`, not the last."
)
