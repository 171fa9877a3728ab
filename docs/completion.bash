# Completes `python vae.py ...` and `python -m grader ...` in bash, and in zsh after
# `autoload -U bashcompinit && bashcompinit`. To be read in the repository's folder:
#
#     source docs/completion.bash
#
# Modes, commands and options are what the programs' own --help says, asked once in each shell.

declare -A _vae_help

# Sets found to the "modes", "commands" or "options" that a command's help names.
_vae_ask() {
    local kind=$1 key="$*" text
    shift
    if [[ -z ${_vae_help[$key]} ]]; then
        text=$(COLUMNS=200 NO_COLOR=1 TERM=dumb "$@" --help 2>/dev/null)
        case $kind in
            modes) text=$(sed -nE 's/^python vae\.py( [A-Z]+)+ ([a-z_]+).*/\2/p' <<<"$text") ;;
            commands) text=$(sed -nE 's/^│ ([a-z]+(-[a-z]+)*) .*/\1/p' <<<"$text") ;;
            options) text=$(grep -oE -e '--[a-z0-9]+(-[a-z0-9]+)*' <<<"$text" | sort -u | grep -vxe --option) ;;
        esac
        _vae_help[$key]=$text
    fi
    found=${_vae_help[$key]}
}

_vae_complete() {
    local python=${COMP_WORDS[0]} word=${COMP_WORDS[COMP_CWORD]} found="" place mode
    if [[ ${COMP_WORDS[1]} == -m && ${COMP_WORDS[2]} == grader ]]; then
        if ((COMP_CWORD == 3)); then
            _vae_ask commands "$python" -m grader
        elif [[ $word == -* ]]; then
            _vae_ask options "$python" -m grader "${COMP_WORDS[3]}"
        fi
    elif [[ ${COMP_WORDS[1]} == *vae.py ]] && ((COMP_CWORD > 2)); then
        _vae_ask modes "$python" "${COMP_WORDS[1]}"
        for place in 4 3; do # behind two data sets, or behind one
            if ((place < COMP_CWORD)) && grep -qxFe "${COMP_WORDS[place]}" <<<"$found"; then
                mode=$place
            fi
        done
        if [[ -n $mode && $word == -* ]]; then
            _vae_ask options "$python" "${COMP_WORDS[@]:1:mode}"
        elif [[ -n $mode ]] || ((COMP_CWORD > 4)); then
            found=""
        fi
    fi
    mapfile -t COMPREPLY < <(compgen -W "$found" -- "$word")
}

# Where nothing of ours fits, files.
complete -o default -o bashdefault -F _vae_complete python python3
