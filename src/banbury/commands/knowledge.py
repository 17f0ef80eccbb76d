"""``banbury knowledge``."""

from __future__ import annotations

from pathlib import Path

import click

from banbury.commands.common import errors_as_exit_status
from banbury.terminal import plain

_BUNDLE = click.option(
    "--bundle", type=click.Path(path_type=Path), help="The knowledge to measure with (default: what comes along)."
)


def _packages(folder: Path) -> list[Path]:
    return sorted(p for pattern in ("*.deb", "*.ipk") for p in folder.rglob(pattern) if p.is_file())


@click.group()
def knowledge() -> None:
    """Mine versions and symbols from a distribution's packages, and measure identification by bytes on them."""


@knowledge.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Write the bundle here.")
@click.option("--name", default="", help="What the packages are (default: the folder's name).")
@click.option("--add", type=click.Path(path_type=Path), multiple=True, help="Bundles to take in as well.")
@click.option("--no-digests", is_flag=True, help="Leave out digests of files and build-ids: a small bundle.")
def mine(folder: Path, out: Path, name: str, add: tuple[Path, ...], no_digests: bool) -> None:
    """Mine the packages (.deb, .ipk) below FOLDER into a bundle."""
    with errors_as_exit_status():
        from banbury.supply.knowledge import bundle
        from banbury.supply.knowledge.mine import mine as dig

        tell = lambda line: click.echo(plain(str(line)), err=True)  # noqa: E731
        earlier = [bundle.read(path)[0] for path in add]
        mined = dig(_packages(folder), name or folder.name, digests=not no_digests, tell=tell)
        found = bundle.merged([*earlier, mined])
        data = bundle.pack(found)
        out.write_bytes(data)
        click.echo(
            f"{len(found.versions)} products in {sum(map(len, found.versions.values()))} versions, "
            f"{len(found.sonames)} sonames, {len(found.symbols)} tables of symbols: {len(data)} bytes"
        )


@knowledge.command()
@click.argument("folder", type=click.Path(path_type=Path))
@_BUNDLE
@click.option("--details", is_flag=True, help="Also list what is wrong, and what is said of other products.")
def measure(folder: Path, bundle: Path | None, details: bool) -> None:
    """Compare what the bytes in the packages below FOLDER say with what their control records say."""
    with errors_as_exit_status():
        from banbury.bench import components
        from banbury.supply.knowledge import bundle as bundles

        tell = lambda line: click.echo(plain(str(line)), err=True)  # noqa: E731
        known, _ = bundles.read(bundle) if bundle else bundles.default()
        result = components.measure(_packages(folder), known, tell)
        click.echo("\n".join(plain(f"{what}: {figure}") for what, figure in result.summary()))
        if details:
            click.echo("\n".join(plain(line) for line in result.details()))


@knowledge.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--marks", "table", type=click.Path(path_type=Path), required=True, help="Write the table of marks here.")
@click.option("--versions", type=click.Path(path_type=Path), required=True, help="Write the bundle of versions here.")
@click.option("--product", "products", multiple=True, help="Mine this product alone (default: all that are known of).")
def releases(folder: Path, table: Path, versions: Path, products: tuple[str, ...]) -> None:
    """Mine the git repositories in FOLDER (as owner/name) for what tells products' releases apart, and their versions.

    Which repositories, and which of their tags are releases, comes along (supply/data/knowledge/sources.toml).
    """
    with errors_as_exit_status():
        from banbury.model.errors import InputError
        from banbury.supply.knowledge import bundle
        from banbury.supply.knowledge import releases as sources

        tell = lambda line: click.echo(plain(str(line)), err=True)  # noqa: E731
        recipes = [r for r in sources.recipes() if not products or r.product in products]
        if not recipes:
            raise InputError(f"no repository is known of {', '.join(products)}")
        marks, known = sources.mine(folder, recipes, "upstream tags", tell)
        for path, data in ((table, sources.pack(marks)), (versions, bundle.pack(known))):
            path.write_bytes(data)
        click.echo(
            f"{len(marks.products)} products with marks, "
            f"{sum(map(len, known.versions.values()))} versions of {len(known.versions)}"
        )
