"""An argument parser whose help is coloured on a terminal, and whose errors name the nearest spelling."""

from __future__ import annotations

import argparse
import re
import sys
from typing import Any, NoReturn

from stm32pose.errors import did_you_mean


class Parser(argparse.ArgumentParser):
    """`argparse.ArgumentParser` with rich help; epilog and description keep their lines."""

    def __init__(self, **options: Any):
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        options.setdefault("allow_abbrev", False)
        super().__init__(**options)

    def print_help(self, file: Any = None) -> None:
        """Write the help; coloured where the terminal can."""
        target = file or sys.stdout
        if not target.isatty():
            super().print_help(file)
            return
        from rich.console import Console
        from rich.text import Text

        text = Text(self.format_help())
        text.highlight_regex(r"(?m)^[a-z ]+:$|^usage:|^(examples|environment|exit codes):", "bold")
        text.highlight_regex(r"(?<!\w)--?[a-z][-a-z]*", "cyan")
        text.highlight_regex(r"(?m)^    [a-z]+(?=  )", "green")
        Console(file=target, highlight=False, soft_wrap=True).print(text, end="")

    def error(self, message: str) -> NoReturn:
        """One line and exit code 2."""
        wrong = re.search(r"argument (.*): invalid choice: '([^']*)' \(choose from (.*)\)", message)
        if wrong:
            option, got, listed = wrong.groups()
            choices = re.findall(r"[\w-]+", listed)
            near = did_you_mean(got, choices)
            if option.startswith("-"):
                message = f"{option}: got '{got}'; allowed: {', '.join(choices)}{near}"
            else:
                message = f"no command '{got}'; there are {', '.join(choices)}{near}"
        unknown = re.search(r"unrecognized arguments: (\S+)", message)
        if unknown:
            message += did_you_mean(unknown[1], _flags(self))
        self.exit(2, f"{self.prog}: {message} ({self.prog} --help)\n")


def _flags(parser: argparse.ArgumentParser) -> list[str]:
    """Flags of a parser and of its subcommands."""
    flags = []
    for action in parser._actions:
        flags += action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            flags += [flag for below in action.choices.values() for flag in _flags(below)]
    return flags
