"""What a shell is told, so that it asks the command what may follow: a line each, with a tab before what it is."""

from __future__ import annotations

ASK = "__complete"
"""The word behind which a shell gives the number of the word at the cursor, and all words."""

BASH = f"""\
_ml_dash() {{
    local IFS=$'\\n' word at
    COMPREPLY=($(ml-dash {ASK} "$COMP_CWORD" "${{COMP_WORDS[@]}}" 2>/dev/null | cut -f1))
    [[ ${{COMPREPLY[0]}} == *[/\\(] ]] && compopt -o nospace
    # what has a meaning for the shell, as parentheses have, is escaped where no quote is open
    if [[ ${{COMP_WORDS[COMP_CWORD]}} != [\\'\\"]* ]]; then
        for at in "${{!COMPREPLY[@]}}"; do
            printf -v word %q "${{COMPREPLY[at]}}"
            word="${{word//\\\\,/,}}"
            COMPREPLY[at]="${{word/#\\\\\\~/\\~}}"
        done
    fi
    return 0
}}
complete -F _ml_dash ml-dash
"""
ZSH = f"""\
#compdef ml-dash
_ml_dash() {{
    local line word
    local -a plain spaced
    for line in "${{(@f)$(ml-dash {ASK} $((CURRENT - 1)) "${{words[@]}}" 2>/dev/null)}}"; do
        word="${{line%%$'\\t'*}}"
        [[ -n $word ]] || continue
        if [[ $word == */ || $word == *\\( ]]; then plain+=("$word"); else spaced+=("$word"); fi
    done
    compadd -S '' -- "${{plain[@]}}"
    compadd -- "${{spaced[@]}}"
}}
compdef _ml_dash ml-dash
"""
FISH = f"""\
function __ml_dash
    set -l before (commandline -opc)
    ml-dash {ASK} (count $before) $before (commandline -ct) 2>/dev/null
end
complete -c ml-dash -f -a '(__ml_dash)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}
