"""`diffkit doctor`: what is installed."""

from __future__ import annotations

import json

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Plain data.")
def doctor(as_json: bool) -> None:
    """What is installed: versions, processor, threads, caches, CUDA."""
    from ..doctor import examine

    found = examine()
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    width = max(len(k) for k in found)
    for name, state in found.items():
        click.echo(f"{name:<{width}}  {state}")
