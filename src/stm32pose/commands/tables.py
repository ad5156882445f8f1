"""Plain tables for the terminal: nothing cut off in a pipe, brackets left alone."""

from __future__ import annotations

from collections.abc import Sequence

# Width of a table that goes into a file or a pipe.
PIPE_WIDTH = 200


def show_table(
    columns: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[str] = (), title: str = ""
) -> None:
    """Print a table; the first column is never cut, those named in `right` hold numbers."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PIPE_WIDTH)
    drawn = Table(title=title or None, title_justify="left", title_style="bold", header_style="bold", box=box.SIMPLE)
    for index, column in enumerate(columns):
        numbers = column in right
        drawn.add_column(column, justify="right" if numbers else "left", no_wrap=index == 0 or numbers)
    for row in rows:
        drawn.add_row(*(Text(str(cell)) for cell in row))
    console.print(drawn)
