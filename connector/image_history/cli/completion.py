"""`image-history completion`: the script that lets bash, zsh or fish complete verbs, options and names.

Must not know what is offered.
"""

from __future__ import annotations

from typing import ClassVar

import click
from click.shell_completion import BashComplete, add_completion_class, get_completion_class

from image_history.cli import COMPLETE, PROGRAM, Globals, Verb, root
from image_history.errors import ConfigError

_SHELLS = ("bash", "zsh", "fish")
# click keeps the lines of a paragraph that begins with \b; a docstring could not hold that character.
_HELP = """\
Print the script that lets a shell complete verbs, options, and the names of images, scopes and queries.

\b
bash, in ~/.bashrc:
  eval "$(image-history completion bash)"
zsh, in ~/.zshrc, below compinit:
  eval "$(image-history completion zsh)"
fish:
  image-history completion fish >
    ~/.config/fish/completions/image-history.fish

Names come from the warehouse of the working directory, or that of --config and --warehouse before the cursor; while a
load holds it, none are offered.
"""
# bash breaks words at @ and = as well, and replaces only the text after the last of them.
_BASH = """\
%(complete_func)s() {
    local line="${COMP_LINE:0:COMP_POINT}" response completion type value word before
    local -a words
    read -r -a words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    word="${words[${#words[@]}-1]}"
    before="${word%%"${word##*[@=:]}"}"
    response=$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((${#words[@]} - 1)) %(complete_var)s=bash_complete "$1")
    COMPREPLY=()
    while IFS=',' read -r type value; do
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) COMPREPLY+=("${value#"$before"}") ;;
        esac
    done <<< "$response"
    return 0
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class _Bash(BashComplete):
    """Completes whole words, where the class of click completes the parts that bash breaks them into."""

    name: ClassVar[str] = "bash"
    source_template = _BASH

    @staticmethod
    def _check_version() -> None:
        """Skip click's check: the bash that it finds may not be the one that reads the script."""


add_completion_class(_Bash)


@click.command("completion", cls=Verb, help=_HELP)
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_obj
def command(_: Globals, /, *, shell: str) -> None:
    """Print the script."""
    kind = get_completion_class(shell)
    if kind is None:
        raise ConfigError(f"There is no completion for {shell}.")
    click.echo(kind(root, {}, PROGRAM, COMPLETE).source(), nl=False)
