/**
 * What shells load. All they know is how to ask `thaw __complete INDEX WORDS...` and what to do with its first line:
 * `words` (a candidate and its meaning a line follow), `files`, or `command N`: the word with index N begins a command
 * of its own.
 */
export const SCRIPTS = {
  bash: `# thaw completion bash; for example: source <(thaw completion bash)
_thaw() {
  local kind word about
  COMPREPLY=()
  {
    read -r kind
    case $kind in
      words)
        while IFS=$'\\t' read -r word about; do COMPREPLY+=("$word"); done
        ;;
      files)
        compopt -o default 2>/dev/null
        ;;
      'command '*)
        local offset=\${kind#command }
        if declare -F _command_offset >/dev/null; then
          _command_offset "$offset"
        elif [ "$COMP_CWORD" -eq "$offset" ]; then
          while read -r word; do COMPREPLY+=("$word"); done \\
            < <(compgen -c -- "\${COMP_WORDS[COMP_CWORD]}" | sort -u)
        else
          compopt -o default 2>/dev/null
        fi
        ;;
    esac
  } < <("\${COMP_WORDS[0]}" __complete "$COMP_CWORD" "\${COMP_WORDS[@]:1}" 2>/dev/null)
}
complete -F _thaw thaw
`,
  zsh: `#compdef thaw
# thaw completion zsh; for example: source <(thaw completion zsh), or as the file _thaw in a directory of $fpath
_thaw() {
  local -a lines items
  local line kind
  lines=("\${(@f)$("\${words[1]}" __complete $((CURRENT - 1)) "\${(@)words[2,-1]}" 2>/dev/null)}")
  kind=$lines[1]
  case $kind in
    words)
      for line in "\${(@)lines[2,-1]}"; do
        items+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
      done
      _describe thaw items
      ;;
    files)
      _files
      ;;
    command\\ *)
      local offset=\${kind#command }
      shift $offset words
      (( CURRENT -= offset ))
      _normal
      ;;
  esac
}
if [ "\${funcstack[1]}" = _thaw ]; then
  _thaw "$@"
else
  compdef _thaw thaw
fi
`,
  fish: `# thaw completion fish; for example: thaw completion fish > ~/.config/fish/completions/thaw.fish
function __thaw_complete
    set -l tokens (commandline -opc)
    set -l current (commandline -ct)
    set -l lines ($tokens[1] __complete (count $tokens) $tokens[2..-1] "$current" 2>/dev/null)
    switch "$lines[1]"
        case words
            printf '%s\\n' $lines[2..-1]
        case files
            __fish_complete_path "$current"
        case 'command *'
            set -l offset (string replace 'command ' '' -- $lines[1])
            set -l rest $tokens[(math $offset + 1)..-1]
            complete -C (string join ' ' -- (string escape -- $rest) "$current")
    end
end
complete -c thaw -f -a '(__thaw_complete)'
`,
} as const

export type Shell = keyof typeof SCRIPTS
