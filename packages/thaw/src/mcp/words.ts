/** What a shell does for other words than these is left to a shell. */
const SHELL = /[|&;<>()$`*?[\]{}~#!\n\\]/

/**
 * The command that a line means, without a shell where none is needed: thaw knows more about
 * `python app.py` than about a shell that starts it.
 */
export function commandOf(line: string): string[] {
  const text = line.trim()
  const quoted = /'[^']*'|"[^"$`\\]*"/g
  if (SHELL.test(text.replace(quoted, '')) || /^\w+=/.test(text) || /['"]/.test(text.replace(quoted, ''))) {
    return ['sh', '-c', text]
  }
  return (text.match(/(?:'[^']*'|"[^"]*"|[^\s'"])+/g) ?? []).map((word) =>
    word.replace(quoted, (part) => part.slice(1, -1)),
  )
}
